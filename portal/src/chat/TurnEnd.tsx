import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { CopyButton } from "../ui/CopyButton";
import { durationOf } from "../ui/duration";
import { shownText } from "../ui/shown_text";
import type { EndRow } from "./rows";
import { RunState } from "./RunState";
import { usageText } from "./usage";

interface Props {
  row: EndRow;
  onRetry: (prompt: string) => void;
}

/** How a turn ended: in what state, how long it took, what it cost, and where it failed what to do. */
export function TurnEnd({ row, onRetry }: Props) {
  const { t, i18n } = useTranslation();
  const { run, prompt, answer } = row;
  const hasFailed = run.status === "failed" || run.status === "blocked";
  const isOver = run.finishedAt != null;
  const facts = [
    isOver && run.startedAt != null && durationOf(run.startedAt, run.finishedAt ?? "", i18n.language),
    ...usageText(run.usage, i18n.language, t),
  ].filter((fact) => typeof fact === "string");
  return (
    <div className="flex flex-col gap-2">
      {run.logRemoved === true && <p className="text-muted">{t("chat.logRemoved")}</p>}
      {hasFailed && (
        <div className="rounded-md border border-bad bg-bad-soft px-4 py-2 break-words">
          <p className="font-medium text-bad">{shownText(run.failureMessage ?? run.failureCode ?? "")}</p>
          {run.remedy != null && <p>{shownText(run.remedy)}</p>}
        </div>
      )}
      <div className="flex min-h-7 flex-wrap items-center gap-x-3 text-sm text-muted">
        {!row.isLast && run.status !== "succeeded" && <RunState status={run.status} />}
        {facts.map((fact) => (
          <span key={fact}>{fact}</span>
        ))}
        {isOver && answer !== "" && <CopyButton label={t("copy.answer")} text={() => answer} />}
        {isOver && prompt !== undefined && run.status !== "succeeded" && (
          <Button className="ml-auto" onClick={() => onRetry(prompt)}>
            {t("chat.retry")}
          </Button>
        )}
      </div>
    </div>
  );
}
