import { useTranslation } from "react-i18next";
import { shownText } from "../ui/shown_text";
import type { Edit, Line } from "./edits";

/** Lines shown at once: more would hold up the page. */
const MOST_LINES = 400;
const LOOKS: Readonly<Record<Line["kind"], string>> = {
  same: "",
  added: "bg-add",
  removed: "bg-del",
  gap: "text-muted",
};
const MARKS: Readonly<Record<Line["kind"], string>> = { same: " ", added: "+", removed: "-", gap: "⋯" };

/** What is changed in a file, line by line. */
export function Diff({ edit }: { edit: Edit }) {
  const { t } = useTranslation();
  const left = edit.lines.length - MOST_LINES;
  return (
    <div
      role="group"
      aria-label={t("diff.of", { path: shownText(edit.path) })}
      tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      className="max-h-96 overflow-auto border-t border-line bg-code py-1.5 font-mono text-sm"
    >
      <div className="w-max min-w-full">
        {edit.movedTo !== undefined && (
          <p className="px-3 text-muted">{t("diff.moved", { path: shownText(edit.movedTo) })}</p>
        )}
        {edit.lines.slice(0, MOST_LINES).map(({ kind, text, number }, place) => (
          <div key={place} className={`flex whitespace-pre ${LOOKS[kind]}`}>
            <span aria-hidden className="w-12 flex-none pr-3 text-right text-muted select-none">
              {number}
            </span>
            <span className="w-4 flex-none">{MARKS[kind]}</span>
            <span className="pr-3">{shownText(text)}</span>
          </div>
        ))}
        {left > 0 && <p className="px-3 text-muted">{t("diff.more", { count: left })}</p>}
      </div>
    </div>
  );
}
