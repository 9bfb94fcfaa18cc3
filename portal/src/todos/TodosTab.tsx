import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import type { PanelProps } from "../panel/tabs";
import { ProblemNote } from "../ui/ProblemNote";
import { todosQuery } from "./queries";
import { TodoBoard } from "./TodoBoard";
import { TodoTimeline } from "./TodoTimeline";
import { changesOf, todosOf } from "./todo_lists";

/** What the agent has planned: the list now, and how it came to be. */
export default function TodosTab({ run }: PanelProps) {
  const { t } = useTranslation();
  if (!run) return <p className="p-4 text-muted">{t("todos.none")}</p>;
  return <TodosOf key={run.runId} runId={run.runId} />;
}

function TodosOf({ runId }: { runId: string }) {
  const { t } = useTranslation();
  const { data, error, isPending, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useInfiniteQuery(
    todosQuery(runId),
  );
  useEffect(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  if (error) return <ProblemNote error={error} onRetry={() => void refetch()} />;
  if (isPending) return <p className="p-4 text-muted">{t("app.loading")}</p>;
  const events = data.pages.flatMap((page) => page.events);
  if (events.length === 0) return <p className="p-4 text-muted">{t("todos.none")}</p>;
  return (
    <div className="flex flex-col gap-5 p-4">
      <TodoBoard todos={todosOf(events.at(-1))} />
      <TodoTimeline changes={changesOf(events)} />
    </div>
  );
}
