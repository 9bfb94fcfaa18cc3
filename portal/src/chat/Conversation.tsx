import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { Icon } from "../ui/Icon";
import { placeOf, type Row } from "./rows";
import { RowView } from "./RowView";
import { useSteps } from "./use_steps";

interface Props {
  rows: readonly Row[];
  isPending: boolean;
  /** Reads what came before; not there at the beginning of the chat. */
  onEarlier: (() => void) | undefined;
  /** Reads what was put away: the page before a cursor. */
  onGap: ((before: string) => void) | undefined;
  isReadingEarlier: boolean;
  /** The event that a link leads to. */
  wanted: Wanted | undefined;
  onRetry: (prompt: string) => void;
}

export interface Wanted {
  readonly runId: string;
  readonly seq: number;
}

const NEAR_PX = 80;
const AHEAD = 12; // rows from the first at which what came before is read

/**
 * The rows of a chat, of which only those in sight are on the page. It opens at its end and stays there while the reader is there;
 * otherwise what the reader looks at stays where it is, whatever comes before or after it.
 */
export function Conversation({ rows, isPending, onEarlier, onGap, isReadingEarlier, wanted, onRetry }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const [isAtEnd, setIsAtEnd] = useState(true);
  // eslint-disable-next-line react-hooks/incompatible-library -- this component may not be memoised by a compiler, and is not
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => heightOf(rows[index]),
    getItemKey: (index) => rows[index]?.key ?? index,
    anchorTo: "end",
    followOnAppend: true,
    scrollEndThreshold: NEAR_PX,
    overscan: 6,
    gap: 14,
    paddingStart: 24,
    paddingEnd: 24,
  });
  useSteps(rows, list, box);
  const items = list.getVirtualItems();
  const first = items[0]?.index ?? 0;
  useEffect(() => {
    if (first < AHEAD && rows.length > 0 && !isReadingEarlier) onEarlier?.();
  }, [first, rows.length, isReadingEarlier, onEarlier]);
  const gap = items.map(({ index }) => rows[index]).find((row) => row?.kind === "gap");
  useEffect(() => {
    if (gap && !isReadingEarlier) onGap?.(gap.before);
  }, [gap, isReadingEarlier, onGap]);
  const follows = useRef(true);
  const topBefore = useRef(0);
  useEffect(() => {
    if (!box.current || !content.current) return;
    const observer = new ResizeObserver(() => {
      if (follows.current) list.scrollToEnd(); // rows turned out higher, or what is below, or the window, took room from it
    });
    observer.observe(box.current);
    observer.observe(content.current);
    return () => observer.disconnect();
  }, [list]);
  const onScroll = () => {
    const { scrollTop: top = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {}; // the list learns of it later
    // who is not at the end and did not go up has not left it: it grew
    if (scrollHeight - top - clientHeight <= NEAR_PX) follows.current = true;
    else if (top < topBefore.current) follows.current = false;
    topBefore.current = top;
    setIsAtEnd(follows.current);
  };
  const place = wanted ? placeOf(rows, wanted.runId, wanted.seq) : -1;
  const isThere = place >= 0;
  const shown = useRef<Wanted>(undefined);
  useEffect(() => {
    if (!isThere || shown.current === wanted) return;
    shown.current = wanted;
    follows.current = false;
    list.scrollToIndex(place, { align: "center" });
  }, [isThere, wanted, place, list]);
  return (
    <div className="relative flex min-h-0 flex-1 flex-col">
      <div
        ref={box}
        onScroll={onScroll}
        role="log"
        aria-label={t("chat.conversation")}
        aria-live="off" // what scrolls into sight is not news; the run's state is told by its own status
        aria-busy={isPending || isReadingEarlier}
        tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
        className="min-h-0 flex-1 overflow-auto px-5 [overflow-anchor:none] xl:px-11 max-sm:px-3"
      >
        <div ref={content} className="relative mx-auto w-full max-w-[760px]" style={{ height: list.getTotalSize() }}>
          {items.map(({ index, key, start }) => {
            const row = rows[index];
            return (
              row && (
                <div
                  key={key}
                  ref={list.measureElement}
                  data-index={index}
                  tabIndex={-1}
                  className="absolute inset-x-0 top-0 rounded-md outline-offset-4"
                  style={{ transform: `translateY(${start}px)` }}
                >
                  <RowView row={row} isWanted={index === place} onRetry={onRetry} />
                </div>
              )
            );
          })}
        </div>
        {!isPending && rows.length === 0 && <p className="py-[20vh] text-center text-muted">{t("chat.empty")}</p>}
      </div>
      {!isAtEnd && (
        <Button
          className="absolute bottom-3 left-1/2 -translate-x-1/2 rounded-full shadow-soft"
          onClick={() => list.scrollToEnd()}
        >
          <Icon name="down" />
          {t("chat.latest")}
        </Button>
      )}
    </div>
  );
}

const ESTIMATES = { prompt: 44, block: 60, end: 28 } as const;

function heightOf(row: Row | undefined): number {
  return row?.kind === "gap" ? row.height : ESTIMATES[row?.kind ?? "block"];
}
