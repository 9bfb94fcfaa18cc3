import { useSyncExternalStore } from "react";

/** Which tab of the side panel is chosen, and whether the panel is there. */
interface PanelState {
  readonly tab: string;
  /** Beside the conversation, where there is room; remembered. */
  readonly isBeside: boolean;
  /** Over the conversation, where there is none; comes when it is asked for and goes with the chat. */
  readonly isDrawn: boolean;
}

const REMEMBERED = "paddock.panel";
const wide = window.matchMedia("(min-width: 80rem)");
const listeners = new Set<() => void>();
let state: PanelState = { ...remembered(), isDrawn: false };

export function usePanel() {
  const { tab, isBeside, isDrawn } = useSyncExternalStore(subscribe, () => state);
  const isWide = useSyncExternalStore(subscribeWidth, () => wide.matches);
  return { tab, isShown: isWide ? isBeside : isDrawn, isDrawer: !isWide };
}

/** Shows the panel, at a tab where one is named. */
export function showPanel(tab: string = state.tab): void {
  change({ tab, ...(wide.matches ? { isBeside: true } : { isDrawn: true }) });
}

export function hidePanel(): void {
  change(wide.matches ? { isBeside: false } : { isDrawn: false });
}

export function togglePanel(): void {
  if (wide.matches ? state.isBeside : state.isDrawn) hidePanel();
  else showPanel();
}

function change(made: Partial<PanelState>): void {
  state = { ...state, ...made };
  localStorage.setItem(REMEMBERED, JSON.stringify({ tab: state.tab, isBeside: state.isBeside }));
  for (const listener of listeners) listener();
}

function remembered(): Pick<PanelState, "tab" | "isBeside"> {
  const { tab, isBeside } = parsed(localStorage.getItem(REMEMBERED)) as { tab?: unknown; isBeside?: unknown };
  return { tab: typeof tab === "string" ? tab : "", isBeside: isBeside !== false };
}

function parsed(text: string | null): object {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {}; // written by something else
  }
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function subscribeWidth(listener: () => void): () => void {
  wide.addEventListener("change", listener);
  return () => wide.removeEventListener("change", listener);
}
