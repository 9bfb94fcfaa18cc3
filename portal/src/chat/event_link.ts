import type { Wanted } from "./Conversation";

/** The address of this page that leads to one event of one of its runs. */
export function addressOfEvent(runId: string, seq: number): string {
  const address = new URL(window.location.pathname, window.location.origin);
  address.searchParams.set("event", `${runId}:${seq}`);
  return address.href;
}

/** The event that an address leads to: `?event=<run>:<seq>`. */
export function wantedEvent(search: string): Wanted | undefined {
  const [, runId, seq] = /^(.+):(\d+)$/.exec(new URLSearchParams(search).get("event") ?? "") ?? [];
  return runId === undefined ? undefined : { runId, seq: Number(seq) };
}
