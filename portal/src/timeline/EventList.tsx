import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Envelope } from "../events/envelope";
import { EventRow } from "./EventRow";

interface Props {
  events: readonly Envelope[];
  /** Where one begins to look: an end, or an event. */
  anchor: "start" | "end" | number;
  /** Nothing is behind the last event yet. */
  isWhole: boolean;
  opened: number | undefined;
  onOpen: (event: Envelope) => void;
  onNearStart: () => void;
  onNearEnd: () => void;
}

const ROW_PX = 28;
const AHEAD_PX = 40 * ROW_PX;
const AT_END_PX = 2 * ROW_PX;

/** As many events as are seen. What is read before or behind them does not move them; at the end one stays at the end. */
export function EventList({ events, anchor, isWhole, opened, onOpen, onNearStart, onNearEnd }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(anchor === "end");
  const top = useRef<{ seq: number; by: number }>(undefined);
  // eslint-disable-next-line react-hooks/incompatible-library -- nothing here is memoized
  const virtualizer = useVirtualizer({
    count: events.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    getItemKey: (place) => events[place]?.seq ?? place,
    overscan: 10,
  });
  const isFirst = useRef(true);
  const wasWhole = useRef(false);
  useLayoutEffect(() => {
    const list = box.current;
    if (!list || events.length === 0) return;
    const kept = top.current && events.findIndex(({ seq }) => seq >= (top.current?.seq ?? 0));
    if (isFirst.current && typeof anchor === "number") {
      list.scrollTop = events.findIndex(({ seq }) => seq >= anchor) * ROW_PX;
    } else if (isAtEnd.current && (isFirst.current || wasWhole.current)) list.scrollTop = list.scrollHeight;
    else if (kept !== undefined && kept >= 0) list.scrollTop = kept * ROW_PX + (top.current?.by ?? 0);
    isFirst.current = false;
    wasWhole.current = isWhole;
  }, [events, anchor, isWhole]);
  const shown = virtualizer.getVirtualItems();
  useEffect(() => {
    if (!box.current || events.length === 0) return;
    const { scrollTop, scrollHeight, clientHeight } = box.current; // what the virtualizer knows may be of before the last move
    if (scrollTop < AHEAD_PX) onNearStart();
    if (scrollHeight - scrollTop - clientHeight < AHEAD_PX) onNearEnd();
  });
  const onScroll = () => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {};
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < AT_END_PX;
    const place = Math.floor(scrollTop / ROW_PX);
    const seq = events[place]?.seq;
    if (seq !== undefined) top.current = { seq, by: scrollTop - place * ROW_PX };
  };
  return (
    <div
      ref={box}
      onScroll={onScroll}
      role="region"
      aria-label={t("timeline.events")}
      tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      className="min-h-0 flex-1 overflow-auto px-1 [overflow-anchor:none]"
    >
      <ol className="relative" style={{ height: virtualizer.getTotalSize() }}>
        {shown.map(({ key, index, start }) => {
          const event = events[index];
          return (
            event && (
              <li key={key} className="absolute inset-x-0" style={{ top: start }}>
                <EventRow event={event} isOpen={event.seq === opened} onOpen={onOpen} />
              </li>
            )
          );
        })}
      </ol>
    </div>
  );
}
