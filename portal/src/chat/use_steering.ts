import { queryOptions, useMutation, useQuery } from "@tanstack/react-query";
import { answered, api, keyed, newKey } from "../api/client";
import { problemOf } from "../api/problem";
import type { Run } from "../api/queries";

const providersQuery = queryOptions({
  queryKey: ["providers"],
  queryFn: () => answered(api.GET("/api/providers")),
  staleTime: 60_000,
});

/** Tells the agent at work something, where it can listen. What comes too late for it waits in line as a message instead. */
export function useSteering(run: Run | undefined, onTooLate: (text: string) => void) {
  const { data } = useQuery({ ...providersQuery, enabled: run !== undefined });
  const { mutate, error } = useMutation({
    mutationFn: ({ runId, text, key }: { runId: string; text: string; key: string }) => {
      const params = { path: { run_id: runId }, ...keyed(key) };
      return answered(api.POST("/api/runs/{run_id}/input", { params, body: { text, timeoutMs: 10_000 } }));
    },
    onError: (thrown, { text }) => {
      if (problemOf(thrown).code === "not_steerable") onTooLate(text);
    },
  });
  const provider = data?.items.find(({ kind }) => kind === run?.provider);
  const isAble = provider?.capabilities["steering"] === true;
  const isAtWork = run?.status === "running" || run?.status === "waiting_human";
  const tell =
    run && isAble && isAtWork ? (text: string) => mutate({ runId: run.runId, text, key: newKey() }) : undefined;
  return { tell, error: error && problemOf(error).code !== "not_steerable" ? error : null };
}
