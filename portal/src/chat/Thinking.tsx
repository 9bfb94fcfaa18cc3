import { useTranslation } from "react-i18next";
import type { TextBlock } from "../events/blocks";
import { durationOf } from "../ui/duration";
import { shownText } from "../ui/shown_text";

/** What the agent thought, folded: its deeds are what counts. */
export function Thinking({ block }: { block: TextBlock }) {
  const { t, i18n } = useTranslation();
  const { at, endedAt, isGrowing, text } = block;
  const isTimed = endedAt !== undefined && endedAt !== at;
  return (
    <details className="text-muted">
      <summary className="cursor-pointer">
        {isGrowing
          ? t("chat.thinking")
          : isTimed
            ? t("chat.thoughtFor", { time: durationOf(at, endedAt, i18n.language) })
            : t("chat.thought")}
      </summary>
      <p className="mt-1 border-l-2 border-line pl-3 break-words whitespace-pre-wrap">{shownText(text)}</p>
    </details>
  );
}
