import { useMutation, useQueryClient } from "@tanstack/react-query";
import { answered, api, keyed } from "../api/client";
import { queueQuery } from "./queries";

/** Asks a run to stop. */
export function useStop(chatId: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (runId: string) => {
      const params = { path: { run_id: runId }, ...keyed() };
      return answered(api.POST("/api/runs/{run_id}/stop", { params, body: {} }));
    },
    onSettled: () => client.invalidateQueries({ queryKey: queueQuery(chatId).queryKey }),
  });
}
