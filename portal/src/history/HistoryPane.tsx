import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { Icon } from "../ui/Icon";
import { ProblemNote } from "../ui/ProblemNote";
import { useShortcut } from "../ui/shortcuts";
import { useSettled } from "../ui/use_settled";
import { HistoryList } from "./HistoryList";
import { chatsQuery } from "./queries";
import { SearchField } from "./SearchField";
import { useNewChat } from "./use_new_chat";

/** One's chats: those in use or the archived ones, all or those in which something is found. */
export function HistoryPane() {
  const { t } = useTranslation();
  const [typed, setTyped] = useState("");
  const [archived, setArchived] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const words = useSettled(typed.trim());
  const { data, error, isSuccess, hasNextPage, isFetchingNextPage, fetchNextPage, refetch } = useInfiniteQuery(
    chatsQuery({ archived, words }),
  );
  const newChat = useNewChat();
  useShortcut("n", t("history.new"), () => newChat.mutate());
  const chats = useMemo(() => data?.pages.flatMap((page) => page.items) ?? [], [data]);
  const failed = error ?? newChat.error ?? problem;
  const retry = () => {
    setProblem(undefined);
    newChat.reset();
    void refetch();
  };
  return (
    <section
      aria-label={t("history.title")}
      tabIndex={-1}
      className="-outline-offset-2 flex h-full min-h-0 flex-col border-r border-line"
    >
      <header className="flex items-center gap-2 px-3.5 pt-3 pb-1">
        <h2 className="sr-only">{t("history.title")}</h2>
        <SearchField value={typed} onChange={setTyped} />
        <Button
          look="primary"
          aria-label={t("history.new")}
          disabled={newChat.isPending}
          onClick={() => newChat.mutate()}
        >
          <Icon name="plus" />
        </Button>
      </header>
      {failed != null && (
        <div className="p-2">
          <ProblemNote error={failed} onRetry={retry} />
        </div>
      )}
      {isSuccess && chats.length === 0 && (
        <p role="status" className="px-4 pt-3 text-muted">
          {words ? t("history.noneFound", { words }) : archived ? t("history.noneArchived") : t("history.empty")}
        </p>
      )}
      <HistoryList
        key={`${archived} ${words}`}
        chats={chats}
        hasMore={hasNextPage && !isFetchingNextPage && !error}
        onMore={() => void fetchNextPage()}
        onProblem={setProblem}
      />
      <footer className="border-t border-line px-2 py-1">
        <Button look="quiet" onClick={() => setArchived(!archived)}>
          {archived ? t("history.showInUse") : t("history.showArchived")}
        </Button>
      </footer>
    </section>
  );
}
