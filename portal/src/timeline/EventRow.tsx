import { memo } from "react";
import { useTranslation } from "react-i18next";
import type { Envelope } from "../events/envelope";
import { shownText } from "../ui/shown_text";
import { exactTime } from "../ui/time";
import { lineOf } from "./rows";

interface Props {
  event: Envelope;
  isOpen: boolean;
  onOpen: (event: Envelope) => void;
}

/** One event on one line: when, what, and what it says. */
export const EventRow = memo(function EventRow({ event, isOpen, onOpen }: Props) {
  const { i18n } = useTranslation();
  return (
    <button
      type="button"
      data-seq={event.seq}
      aria-expanded={isOpen}
      onClick={() => onOpen(event)}
      className="flex h-7 w-full cursor-pointer items-center gap-2 rounded-sm px-2 text-left text-sm -outline-offset-2 hover:bg-sunken aria-expanded:bg-accent-soft"
    >
      <time dateTime={event.ts} className="flex-none font-mono text-muted">
        {exactTime(event.ts, i18n.language)}
      </time>
      <code className="flex-none font-mono">{shownText(event.type)}</code>
      <span className="min-w-0 truncate text-muted">{shownText(lineOf(event))}</span>
    </button>
  );
});
