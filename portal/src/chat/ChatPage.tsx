import { useMutation, useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { answered, api, keyed } from "../api/client";
import { chatQuery } from "../history/queries";
import { PanelSwitch } from "../panel/PanelSwitch";
import { SidePanel } from "../panel/SidePanel";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { Composer } from "./Composer";
import { Conversation } from "./Conversation";
import { RunState } from "./RunState";
import { useRunChat } from "./use_run_chat";

export function ChatPage({ chatId }: { chatId: string }) {
  const { t } = useTranslation();
  const chat = useRunChat(chatId);
  const { data: about } = useQuery(chatQuery(chatId));
  const run = chat.current;
  const isOpen = run !== undefined && run.finishedAt == null;
  const stop = useMutation({
    mutationFn: (runId: string) => {
      const params = { path: { run_id: runId }, ...keyed() };
      return answered(api.POST("/api/runs/{run_id}/stop", { params, body: {} }));
    },
    onSuccess: () => void chat.runs.refetch(),
  });
  const isStopping = stop.isPending || (isOpen && run.stopRequestedAt != null);
  const error = chat.runs.error ?? chat.error ?? stop.error;
  return (
    <div className="flex h-full min-h-0">
      <main id="main" className="flex min-h-0 min-w-0 flex-1 flex-col">
        <header className="flex h-[54px] flex-none items-center gap-3 border-b border-line px-5">
          <h1 className="truncate text-lg font-semibold">
            {about?.title === "" ? t("history.untitled") : about?.title}
          </h1>
          {run && <RunState run={run} />}
          <div className="ml-auto flex flex-none items-center gap-2">
            {isOpen && (
              <Button look="danger" disabled={isStopping} onClick={() => stop.mutate(run.runId)}>
                {isStopping ? t("chat.stopping") : t("chat.stop")}
              </Button>
            )}
            <PanelSwitch />
          </div>
        </header>
        <Conversation
          runs={chat.listed}
          messages={chat.messages}
          isPending={chat.runs.isPending}
          {...(chat.runs.hasNextPage && { onEarlier: () => void chat.runs.fetchNextPage() })}
        />
        {error && (
          <div className="mx-auto w-full max-w-[800px] px-5 pb-3">
            <ProblemNote error={error} />
          </div>
        )}
        <Composer isBusy={chat.isFollowing} onSend={(text) => void chat.sendMessage({ text })} />
      </main>
      <SidePanel sessionId={chatId} run={run} messages={chat.messages} />
    </div>
  );
}
