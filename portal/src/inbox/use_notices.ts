import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { useLocation } from "wouter";
import { shownText } from "../ui/shown_text";
import { useNoticeState } from "./notices";
import { pendingQuery, type Request } from "./queries";

/** Says by a notice of the browser that somebody is waited for, while the page is not looked at: once for each request. */
export function useNotices(): void {
  const { t } = useTranslation();
  const [, navigate] = useLocation();
  const isOn = useNoticeState() === "on";
  const { data } = useQuery({ ...pendingQuery, enabled: isOn });
  const known = useRef<ReadonlySet<string>>(undefined);
  useEffect(() => {
    if (!data) return;
    const told = known.current ?? new Set(data.items.map((each) => each.requestId)); // what waited already is no news
    known.current = new Set([...told, ...data.items.map((each) => each.requestId)]);
    if (!isOn || document.hasFocus()) return;
    for (const request of data.items) if (!told.has(request.requestId)) show(request, t("inbox.notice"), navigate);
  }, [data, isOn, t, navigate]);
}

function show({ requestId, sessionId, sessionTitle, title }: Request, says: string, go: (path: string) => void): void {
  const notice = noticeOf(says, { body: shownText([sessionTitle, title].filter(Boolean).join("\n")), tag: requestId });
  if (!notice) return;
  notice.onclick = () => {
    window.focus();
    go(`/chats/${sessionId}`);
    notice.close();
  };
}

/** Browsers of phones have the class and no constructor. */
function noticeOf(says: string, options: NotificationOptions): Notification | undefined {
  try {
    return new Notification(says, options);
  } catch {
    return undefined;
  }
}
