import type { Request } from "./queries";

/** Returns the ids of the cards that stay where they are: those that were there, then what has come since. */
export function keptIds(before: readonly string[], pending: readonly Request[]): readonly string[] {
  const known = new Set(before);
  const added = pending.map((request) => request.requestId).filter((id) => !known.has(id));
  return added.length === 0 ? before : [...before, ...added];
}
