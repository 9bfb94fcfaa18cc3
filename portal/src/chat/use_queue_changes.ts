import { useMutation, useQueryClient } from "@tanstack/react-query";
import { answered, api, keyed } from "../api/client";
import { queueQuery } from "./queries";

/** Changes of the line of messages that wait in a chat; the line itself is the server's. */
export function useQueueChanges(chatId: string) {
  const client = useQueryClient();
  const onSettled = () => client.invalidateQueries({ queryKey: queueQuery(chatId).queryKey });
  const move = useMutation({
    mutationFn: ({ runId, before }: { runId: string; before: string | null }) => {
      const params = { path: { run_id: runId }, ...keyed() };
      return answered(api.POST("/api/runs/{run_id}/move", { params, body: { before } }));
    },
    onSettled,
  });
  const remove = useMutation({
    mutationFn: (runId: string) => {
      const params = { path: { run_id: runId }, ...keyed() };
      return answered(api.POST("/api/runs/{run_id}/stop", { params, body: {} }));
    },
    onSettled,
  });
  return {
    move: (runId: string, before: string | null) => move.mutate({ runId, before }),
    remove: (runId: string) => remove.mutate(runId),
    error: move.error ?? remove.error,
    isBusy: move.isPending || remove.isPending,
  };
}
