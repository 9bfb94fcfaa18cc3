import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { Code } from "../ui/Code";
import { languageOf } from "../ui/highlight";
import { shownText } from "../ui/shown_text";
import { shownName, sizeText } from "./names";
import type { FilePart } from "./queries";
import { textPages } from "./text_pages";

interface Props {
  path: string;
  parts: readonly FilePart[];
  isReading: boolean;
  onMore: (() => void) | undefined;
}

/** A text with the numbers of its lines, page after page. */
export function TextPreview({ path, parts, isReading, onMore }: Props) {
  const { t, i18n } = useTranslation();
  const last = parts.at(-1);
  const isWhole = onMore === undefined;
  const pages = useMemo(
    () =>
      textPages(
        parts.map((part) => part.bytes),
        isWhole,
      ),
    [parts, isWhole],
  );
  const language = languageOf(path);
  return (
    <div
      role="group"
      aria-label={t("workspace.contentOf", { path: shownName(path) })}
      tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      className="min-h-0 flex-1 overflow-auto bg-code py-2 font-mono text-sm -outline-offset-2"
    >
      {pages.map((page) => (
        <div key={page.firstLine} className="flex w-max min-w-full">
          <pre aria-hidden className="w-14 flex-none pr-3 text-right text-muted select-none">
            {Array.from({ length: page.lines }, (_, line) => page.firstLine + line).join("\n")}
          </pre>
          <pre className="pr-4 [tab-size:4]">
            <Code code={shownText(page.text)} language={language} />
          </pre>
        </div>
      ))}
      {onMore && last && (
        <p className="flex items-center gap-3 px-4 py-3 font-sans">
          <Button disabled={isReading} onClick={onMore}>
            {t("workspace.more")}
          </Button>
          <span className="text-muted">
            {t("workspace.shownOf", {
              shown: sizeText(last.end, i18n.language),
              size: sizeText(last.size, i18n.language),
            })}
          </span>
        </p>
      )}
    </div>
  );
}
