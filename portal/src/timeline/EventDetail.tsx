import { useTranslation } from "react-i18next";
import type { Envelope } from "../events/envelope";
import { CopyButton } from "../ui/CopyButton";
import { spanText } from "../ui/duration";
import { shownText } from "../ui/shown_text";
import { exactTime } from "../ui/time";

interface Props {
  event: Envelope;
  /** When the run began. */
  since: string;
  onClose: () => void;
}

/** An event as it was logged. Its data is text here, whatever it holds. */
export function EventDetail({ event, since, onClose }: Props) {
  const { t, i18n } = useTranslation();
  const data = JSON.stringify(event.data, null, 2);
  const after = spanText((Date.parse(event.ts) - Date.parse(since)) / 1000, i18n.language);
  return (
    <section
      aria-label={t("timeline.event", { seq: event.seq })}
      className="flex max-h-[45%] flex-none flex-col border-t border-line"
    >
      <header className="flex items-center gap-2 px-3 py-1.5 text-sm">
        <h3 className="min-w-0 flex-1 truncate font-medium">
          {t("timeline.event", { seq: event.seq })} <code className="font-mono">{shownText(event.type)}</code>
        </h3>
        <CopyButton label={t("timeline.copy")} text={() => data} />
        <button type="button" className="cursor-pointer rounded-sm px-2 text-muted hover:bg-sunken" onClick={onClose}>
          {t("timeline.close")}
        </button>
      </header>
      <p className="px-3 pb-1.5 text-sm text-muted">
        <time dateTime={event.ts}>{exactTime(event.ts, i18n.language)}</time>{" "}
        {t("timeline.after", { time: after, attempt: event.attempt })}
      </p>
      <pre
        tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
        className="min-h-0 flex-1 overflow-auto bg-code px-3 py-2 font-mono text-sm break-words whitespace-pre-wrap"
      >
        {shownText(data)}
      </pre>
    </section>
  );
}
