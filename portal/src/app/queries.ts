import { queryOptions } from "@tanstack/react-query";
import { answered, api } from "../api/client";
import type { Envelope } from "../events/envelope";

const SYNCS = ["workspace.synced", "workspace.sync_failed"];

/** Whether an event tells of saving files. */
export function isSync({ type }: Envelope): boolean {
  return SYNCS.includes(type);
}

/** What a run's log says last of saving its files; null where it says nothing. */
export const lastSyncQuery = (runId: string, lastSeq: number) =>
  queryOptions({
    queryKey: ["last-sync", runId, lastSeq],
    queryFn: async () => {
      const params = { path: { run_id: runId }, query: { before: "end", limit: 1, types: SYNCS.join(",") } };
      const page = await answered(api.GET("/api/runs/{run_id}/events", { params }));
      return (page.items[0] as Envelope | undefined) ?? null;
    },
    staleTime: Infinity,
  });
