import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { Redirect } from "wouter";
import { ProblemNote } from "../ui/ProblemNote";
import { chatsQuery, IN_USE } from "./queries";
import { useNewChat } from "./use_new_chat";

/** The start page: the chat that was used last, or a first one. */
export function FirstChat() {
  const { t } = useTranslation();
  const chats = useInfiniteQuery(chatsQuery(IN_USE));
  const { mutate, isIdle, error } = useNewChat();
  const latest = chats.data?.pages[0]?.items[0];
  const hasNone = chats.isSuccess && latest === undefined;
  useEffect(() => {
    if (hasNone && isIdle) mutate();
  }, [hasNone, isIdle, mutate]);
  if (latest) return <Redirect to={`/chats/${latest.chatId}`} replace />;
  const failed = chats.error ?? error;
  return (
    <main tabIndex={-1} className="p-6">
      {failed ? <ProblemNote error={failed} /> : <p>{t("app.loading")}</p>}
    </main>
  );
}
