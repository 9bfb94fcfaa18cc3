import { useTranslation } from "react-i18next";
import { shownText } from "../ui/shown_text";

/** What a person said. */
export function Said({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <article
      aria-label={t("chat.you")}
      className="ml-auto w-fit max-w-[80%] rounded-lg rounded-br-sm border border-line bg-sunken px-4 py-2 break-words whitespace-pre-wrap"
    >
      {shownText(text)}
    </article>
  );
}
