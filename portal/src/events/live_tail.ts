import { useSyncExternalStore } from "react";
import type { Envelope } from "./envelope";

/** The last events of the run that this tab follows, for who shows events as they are. There is one live stream in a tab, so one tail. */
interface Tail {
  readonly runId: string;
  readonly events: readonly Envelope[];
}

const KEPT = 2000;
const NONE: readonly Envelope[] = [];
let tail: Tail = { runId: "", events: NONE };
const listeners = new Set<() => void>();

/** Adds events that came in, each once and in order. */
export function tellTail(runId: string, events: readonly Envelope[]): void {
  const before = tail.runId === runId ? tail.events : NONE;
  const last = before.at(-1)?.seq;
  const continues = last === undefined || events[0]?.seq === last + 1;
  tail = { runId, events: [...(continues ? before : NONE), ...events].slice(-KEPT) };
  for (const listener of listeners) listener();
}

export function useLiveTail(runId: string): readonly Envelope[] {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => (tail.runId === runId ? tail.events : NONE),
  );
}
