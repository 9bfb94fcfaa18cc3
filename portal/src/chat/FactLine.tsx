import { useTranslation } from "react-i18next";

interface Props {
  type: string;
  data: unknown;
}

/** What the page says elsewhere: the run's state, its facts. */
const SHOWN_ELSEWHERE = new Set(["data-run-status", "data-run-started", "data-run-finished", "data-context-restored"]);

/** An event without a form of its own, as it is: a type of tomorrow is shown too. */
export function FactLine({ type, data }: Props) {
  const { t } = useTranslation();
  if (SHOWN_ELSEWHERE.has(type)) return null;
  return (
    <details className="text-sm text-muted">
      <summary className="cursor-pointer">
        {t("chat.event")} <code className="font-mono">{type.replace(/^data-/, "")}</code>
      </summary>
      <pre className="mt-1 overflow-auto rounded-sm bg-code p-2 font-mono whitespace-pre-wrap">
        {JSON.stringify(data, null, 2)}
      </pre>
    </details>
  );
}
