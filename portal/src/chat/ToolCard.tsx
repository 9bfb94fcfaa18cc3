import type { DynamicToolUIPart } from "ai";
import { useTranslation } from "react-i18next";
import { Icon, type IconName } from "../ui/Icon";

const ICONS: Partial<Record<string, IconName>> = {
  read: "read",
  edit: "edit",
  search: "search",
  fetch: "search",
  execute: "execute",
};
const STATES = ["input-available", "approval-requested", "output-available", "output-error", "output-denied"] as const;
const TONES: Partial<Record<string, string>> = {
  "approval-requested": "text-warn",
  "output-error": "text-bad",
  "output-denied": "text-bad",
};

/** One deed of the agent: what, and how it ended; the rest opens in place. */
export function ToolCard({ part }: { part: DynamicToolUIPart }) {
  const { t } = useTranslation();
  const about = "callProviderMetadata" in part ? part.callProviderMetadata["paddock"] : undefined;
  const kind = typeof about?.["kind"] === "string" ? about["kind"] : "other";
  const title = typeof about?.["title"] === "string" ? about["title"] : part.toolName;
  const state = STATES.find((each) => each === part.state);
  const output =
    "output" in part && part.output !== undefined ? part.output : "errorText" in part ? part.errorText : "";
  return (
    <details className="overflow-hidden rounded-md border border-line bg-panel shadow-soft">
      <summary className="flex cursor-pointer items-center gap-2.5 px-3 py-2">
        <span className="text-muted">
          <Icon name={ICONS[kind] ?? "other"} />
        </span>
        <code className="min-w-0 truncate font-mono text-sm">{title}</code>
        {state && (
          <span className={`ml-auto text-sm whitespace-nowrap ${TONES[state] ?? "text-muted"}`}>
            {t(`tool.${state}`)}
          </span>
        )}
      </summary>
      <ToolText title={t("tool.input")} value={part.input} />
      <ToolText title={t("tool.output")} value={output} />
    </details>
  );
}

function ToolText({ title, value }: { title: string; value: unknown }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  if (!text) return null;
  return (
    <section className="border-t border-line">
      <h3 className="px-3 pt-2 text-sm text-muted">{title}</h3>
      <pre className="max-h-80 overflow-auto bg-code px-3 py-2 font-mono text-sm break-words whitespace-pre-wrap">
        {text}
      </pre>
    </section>
  );
}
