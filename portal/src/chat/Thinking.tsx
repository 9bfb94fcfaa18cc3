import { useTranslation } from "react-i18next";
import type { TextBlock } from "../events/blocks";
import { shownText } from "../ui/shown_text";

/** What the agent thought, folded: its deeds are what counts. */
export function Thinking({ block }: { block: TextBlock }) {
  const { t } = useTranslation();
  const { isGrowing, text } = block;
  return (
    <details className="text-muted">
      <summary className="cursor-pointer">{isGrowing ? t("chat.thinking") : t("chat.thought")}</summary>
      <p className="mt-1 border-l-2 border-line pl-3 break-words whitespace-pre-wrap">{shownText(text)}</p>
    </details>
  );
}
