import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import { useNow } from "../ui/use_now";
import { HistoryItem } from "./HistoryItem";
import type { Chat } from "./queries";
import { rowsOf } from "./rows";

interface Props {
  chats: readonly Chat[];
  hasMore: boolean;
  onMore: () => void;
  onProblem: (error: unknown) => void;
}

const CHAT_PX = 56;
const HEADING_PX = 34;
const AHEAD = 15;
const MINUTE_MS = 60_000;
const STEPS: Partial<Record<string, 1 | -1>> = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };

/** Chats below their days, as many as are seen; more are asked for before the end is reached. Arrows (or j and k) go from one to the next. */
export function HistoryList({ chats, hasMore, onMore, onProblem }: Props) {
  const { t, i18n } = useTranslation();
  const now = useNow(MINUTE_MS);
  const rows = useMemo(() => rowsOf(chats, i18n.language, { now }), [chats, i18n.language, now]);
  const box = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- what it returns is used here only
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: (place) => (isHeading(rows[place]) ? HEADING_PX : CHAT_PX),
    getItemKey: (place) => keyOf(rows[place]) ?? place,
    overscan: 8,
  });
  const shown = virtualizer.getVirtualItems();
  const isNearEnd = (shown.at(-1)?.index ?? 0) >= rows.length - AHEAD;
  useEffect(() => {
    if (isNearEnd && hasMore) onMore();
  }, [isNearEnd, hasMore, onMore, rows.length]);
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>) => {
    const step = STEPS[event.key];
    const from = event.target instanceof HTMLElement ? event.target.closest("[data-chat]") : null;
    if (step === undefined || !from || !(event.target instanceof HTMLAnchorElement)) return;
    event.preventDefault();
    let place = rows.findIndex((row) => keyOf(row) === from.getAttribute("data-chat")) + step;
    if (isHeading(rows[place])) place += step;
    const next = keyOf(rows[place]);
    if (next === undefined) return;
    virtualizer.scrollToIndex(place);
    requestAnimationFrame(() =>
      box.current?.querySelector<HTMLElement>(`[data-chat="${CSS.escape(next)}"] a`)?.focus(),
    );
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions -- the keys are those of the links in it
    <div ref={box} onKeyDown={onKeyDown} className="min-h-0 flex-1 overflow-auto px-2 pb-4">
      <ul aria-label={t("history.title")} className="relative" style={{ height: virtualizer.getTotalSize() }}>
        {shown.map(({ key, index, start }) => {
          const row = rows[index];
          return (
            row && (
              <li key={key} className="absolute inset-x-0" style={{ top: start }}>
                {"chat" in row ? (
                  <HistoryItem chat={row.chat} onProblem={onProblem} />
                ) : (
                  <h3 className="px-2 pt-3 text-sm text-muted">{row.heading}</h3>
                )}
              </li>
            )
          );
        })}
      </ul>
    </div>
  );
}

type MaybeRow = ReturnType<typeof rowsOf>[number] | undefined;

function isHeading(row: MaybeRow): boolean {
  return row !== undefined && "heading" in row;
}

function keyOf(row: MaybeRow): string | undefined {
  return row && "chat" in row ? row.chat.chatId : row?.heading;
}
