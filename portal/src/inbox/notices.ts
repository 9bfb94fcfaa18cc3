import { useSyncExternalStore } from "react";

/** Whether this browser is to say when somebody is waited for. Off until a person turns it on here. */
const REMEMBERED = "paddock.notices";
const listeners = new Set<() => void>();

export type NoticeState = "on" | "off" | "refused" | "unsupported";

function noticeState(): NoticeState {
  if (!("Notification" in window)) return "unsupported";
  if (Notification.permission === "denied") return "refused";
  const isWanted = localStorage.getItem(REMEMBERED) === "on";
  return isWanted && Notification.permission === "granted" ? "on" : "off";
}

export function useNoticeState(): NoticeState {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, noticeState);
}

/** Turns notices on or off. Only a click may come here: turning them on asks the person for leave. */
export async function chooseNotices(isWanted: boolean): Promise<void> {
  if (isWanted) await Notification.requestPermission();
  localStorage.setItem(REMEMBERED, isWanted ? "on" : "off");
  for (const listener of listeners) listener();
}
