import type { Chat } from "./queries";

/** What a list says of a chat beside its name: that people are waited for, that it works, how it failed while nobody looked. */
export type Mark = "waiting" | "running" | "queued" | "failed" | "none";

export function markOf({ run, pendingRequests, unread }: Chat): Mark {
  if (!run) return "none";
  if (run.finishedAt != null)
    return unread && (run.status === "failed" || run.status === "blocked") ? "failed" : "none";
  if (pendingRequests > 0) return "waiting";
  return run.status === "queued" ? "queued" : "running";
}
