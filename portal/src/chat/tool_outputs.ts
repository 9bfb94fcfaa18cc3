import { useSyncExternalStore } from "react";
import { textOf } from "../events/blocks";
import type { Envelope } from "../events/envelope";

/** What tools that are at work have put out so far; of much only the end. A result takes its place. */
const KEPT = 32 * 1024;
const outputs = new Map<string, string>();
const listeners = new Set<() => void>();

export function takeOutputs(events: readonly Envelope[]): void {
  let changed = false;
  for (const { type, data } of events) {
    const call = String(data["toolCallId"]);
    if (type === "tool.output") outputs.set(call, ((outputs.get(call) ?? "") + textOf(data, "text")).slice(-KEPT));
    else if (type === "tool.result") outputs.delete(call);
    else continue;
    changed = true;
  }
  if (changed) for (const listener of listeners) listener();
}

export function forgetOutputs(): void {
  outputs.clear();
}

export function useOutput(toolCallId: string): string {
  return useSyncExternalStore(subscribe, () => outputs.get(toolCallId) ?? "");
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
