import { useEffect, useRef, useSyncExternalStore } from "react";

/** What a key does, for the page that explains the keys. */
export interface Shortcut {
  /** One key, or two one after the other with a space between: `g i`. As `KeyboardEvent.key` names them. */
  readonly keys: string;
  readonly does: string;
}

interface Bound extends Shortcut {
  readonly act: () => void;
}

const SEQUENCE_MS = 1000;
let bound: readonly Bound[] = [];
let before = { key: "", at: 0 };
const listeners = new Set<() => void>();

/** Has keys do something while the component is there, wherever the focus is except where one types. */
export function useShortcut(keys: string, does: string, act: () => void): void {
  const latest = useRef(act);
  useEffect(() => {
    latest.current = act;
  });
  useEffect(() => {
    const shortcut: Bound = { keys, does, act: () => latest.current() };
    tell([...bound, shortcut]);
    return () => tell(bound.filter((each) => each !== shortcut));
  }, [keys, does]);
}

/** What the keys do here and now. */
export function useShortcuts(): readonly Shortcut[] {
  return useSyncExternalStore(subscribe, () => bound);
}

export function startShortcuts(): void {
  window.addEventListener("keydown", onKey);
}

function onKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target instanceof Element && (isTyping(event.target) || event.target.closest("dialog"))) return;
  const sequence = event.timeStamp - before.at < SEQUENCE_MS ? `${before.key} ${event.key}` : "";
  const found = bound.findLast((each) => each.keys === sequence) ?? bound.findLast((each) => each.keys === event.key);
  before = found ? { key: "", at: 0 } : { key: event.key, at: event.timeStamp };
  if (!found) return;
  event.preventDefault();
  found.act();
}

function isTyping(target: Element): boolean {
  return target.closest("input:not([type=radio], [type=checkbox]), textarea, select, [contenteditable]") !== null;
}

function tell(now: readonly Bound[]): void {
  bound = now;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
