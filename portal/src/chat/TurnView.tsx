import { useTranslation } from "react-i18next";
import { LoggedParts } from "./LoggedParts";
import { Parts } from "./Parts";
import type { Turn } from "./turns";

/** What a person said and the answer to it: the part of it that was logged before this page came, then what streams in. */
export function TurnView({ turn }: { turn: Turn }) {
  const { t } = useTranslation();
  const { live, run } = turn;
  const loggedUpTo = live ? (live.metadata?.from ?? 0) : (run?.lastSeq ?? 0);
  const failed = run?.status === "failed" || run?.status === "blocked";
  return (
    <>
      <article
        aria-label={t("chat.you")}
        className="max-w-[80%] self-end rounded-lg rounded-br-sm border border-line bg-sunken px-4 py-2 break-words whitespace-pre-wrap"
      >
        {turn.prompt}
      </article>
      <article aria-label={t("chat.agent")} className="flex min-w-0 flex-col gap-3">
        {run && loggedUpTo > 0 && <LoggedParts runId={run.runId} upTo={loggedUpTo} />}
        {live && <Parts parts={live.parts} />}
        {failed && (
          <p className="rounded-md border border-bad bg-bad-soft px-4 py-2">
            {run.failureMessage ?? run.failureCode} {run.remedy}
          </p>
        )}
      </article>
    </>
  );
}
