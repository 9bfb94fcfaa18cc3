import { useInfiniteQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { chatsQuery } from "../api/queries";
import { Button } from "../ui/Button";
import { Icon } from "../ui/Icon";
import { ProblemNote } from "../ui/ProblemNote";
import { HistoryItem } from "./HistoryItem";
import { useNewChat } from "./use_new_chat";

export function HistoryPane() {
  const { t } = useTranslation();
  const chats = useInfiniteQuery(chatsQuery);
  const newChat = useNewChat();
  const items = chats.data?.pages.flatMap((page) => page.items) ?? [];
  const error = chats.error ?? newChat.error;
  return (
    <section aria-label={t("history.title")} className="flex h-full min-h-0 flex-col border-r border-line">
      <header className="flex items-center gap-2 px-4 pt-3 pb-2">
        <h2 className="flex-1 font-semibold">{t("history.title")}</h2>
        <Button
          look="primary"
          aria-label={t("history.new")}
          disabled={newChat.isPending}
          onClick={() => newChat.mutate()}
        >
          <Icon name="plus" />
        </Button>
      </header>
      {error && (
        <div className="p-2">
          <ProblemNote error={error} onRetry={() => void chats.refetch()} />
        </div>
      )}
      <ul className="min-h-0 flex-1 overflow-auto px-2 pb-4">
        {items.map((chat) => (
          <HistoryItem key={chat.chatId} chat={chat} />
        ))}
        {chats.isSuccess && items.length === 0 && <li className="px-2 text-muted">{t("history.empty")}</li>}
        {chats.hasNextPage && (
          <li>
            <Button look="quiet" onClick={() => void chats.fetchNextPage()}>
              {t("history.more")}
            </Button>
          </li>
        )}
      </ul>
    </section>
  );
}
