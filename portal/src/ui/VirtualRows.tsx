import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type RefObject, useEffect } from "react";

interface Props {
  count: number;
  /** Pixels of each row. */
  height: number;
  box: RefObject<HTMLElement | null>;
  /** The row that is to be seen. */
  shown?: number | undefined;
  children: (place: number) => ReactNode;
}

const BEYOND = 12;

/** Rows of one height in a box that scrolls: only those that are seen are there. */
export function VirtualRows({ count, height, box, shown, children }: Props) {
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoized
  const rows = useVirtualizer({
    count,
    estimateSize: () => height,
    getScrollElement: () => box.current,
    overscan: BEYOND,
  });
  useEffect(() => {
    if (shown !== undefined && shown < count) rows.scrollToIndex(shown, { align: "auto" });
  }, [rows, shown, count]);
  return (
    <div role="presentation" className="relative min-w-full" style={{ height: rows.getTotalSize() }}>
      {rows.getVirtualItems().map(({ key, index, start }) => (
        <div
          key={key}
          role="presentation"
          className="absolute inset-x-0 top-0"
          style={{ height, transform: `translateY(${start}px)` }}
        >
          {children(index)}
        </div>
      ))}
    </div>
  );
}
