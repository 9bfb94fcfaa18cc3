import { useTranslation } from "react-i18next";

export function Thinking({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <details className="text-muted">
      <summary className="cursor-pointer">{t("chat.thinking")}</summary>
      <p className="mt-1 border-l-2 border-line pl-3 break-words whitespace-pre-wrap">{text}</p>
    </details>
  );
}
