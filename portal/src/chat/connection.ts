import { useSyncExternalStore } from "react";
import type { StreamState } from "../events/run_stream";

/** The one live stream of this tab, as the status line shows it. */
export interface Connection {
  readonly state: StreamState;
  readonly seq: number;
}

let connection: Connection = { state: "ended", seq: 0 };
const listeners = new Set<() => void>();

export function tellConnection(change: Partial<Connection>): void {
  connection = { ...connection, ...change };
  for (const listener of listeners) listener();
}

export function useConnection(): Connection {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => connection,
  );
}
