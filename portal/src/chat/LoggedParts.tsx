import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { problemOf } from "../api/problem";
import { logQuery } from "../api/queries";
import { partsOf } from "../events/parts";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { Parts } from "./Parts";

interface Props {
  runId: string;
  upTo: number;
}

/** An answer as it was logged: its end first, the rest when it is asked for. */
export function LoggedParts({ runId, upTo }: Props) {
  const { t } = useTranslation();
  const log = useInfiniteQuery(logQuery(runId, upTo));
  const parts = useMemo(() => partsOf(log.data?.pages.toReversed().flatMap((page) => page.events) ?? []), [log.data]);
  if (log.error) {
    if (problemOf(log.error).code === "log_removed") return <p className="text-muted">{t("chat.logRemoved")}</p>;
    return <ProblemNote error={log.error} onRetry={() => void log.refetch()} />;
  }
  return (
    <>
      {log.hasNextPage && (
        <Button look="quiet" className="self-start" onClick={() => void log.fetchNextPage()}>
          {t("chat.earlierEvents")}
        </Button>
      )}
      <Parts parts={parts} />
    </>
  );
}
