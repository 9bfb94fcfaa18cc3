import { useTranslation } from "react-i18next";
import { shownText } from "../ui/shown_text";
import { exactTime } from "../ui/time";
import type { TodoChange } from "./todo_lists";

/** Changes that are shown; older ones are in the run's timeline. */
const MOST = 100;

/** How the list changed, the newest first. */
export function TodoTimeline({ changes }: { changes: readonly TodoChange[] }) {
  const { t, i18n } = useTranslation();
  return (
    <section aria-label={t("todos.timeline")}>
      <h3 className="mb-2 text-sm font-semibold text-muted">{t("todos.timeline")}</h3>
      <ol className="flex flex-col gap-2 text-sm">
        {changes.slice(0, MOST).map(({ seq, at, items }) => (
          <li key={seq} className="grid grid-cols-[auto_1fr] gap-x-3">
            <time dateTime={at} className="font-mono text-muted">
              {exactTime(at, i18n.language)}
            </time>
            <ul className="min-w-0">
              {items.map(({ content, what }, place) => (
                <li key={place} className="break-words">
                  <span className="text-muted">{t(`todos.${what}`)}</span> {shownText(content)}
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ol>
    </section>
  );
}
