import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearch } from "wouter";
import type { Run } from "../api/queries";
import { SidePanel } from "../panel/SidePanel";
import { ProblemNote } from "../ui/ProblemNote";
import { ChatHeader } from "./ChatHeader";
import { type ChatLog, earliest } from "./chat_log";
import { Composer } from "./Composer";
import { Conversation, type Wanted } from "./Conversation";
import { wantedEvent } from "./event_link";
import { QueuedMessages } from "./QueuedMessages";
import { runQuery } from "./queries";
import { StopQuestion } from "./StopQuestion";
import { useEarlier } from "./use_earlier";
import { useRows } from "./use_rows";
import { useRunChat } from "./use_run_chat";
import { useSteering } from "./use_steering";
import { WaitingLine } from "./WaitingLine";

export function ChatPage({ chatId }: { chatId: string }) {
  const { t } = useTranslation();
  const chat = useRunChat(chatId);
  const log = chat.log.data;
  const earlier = useEarlier(chatId, log);
  const search = useSearch();
  const wanted = useMemo(() => wantedEvent(search), [search]);
  const [isAskingToStop, setIsAskingToStop] = useState(false);
  const waiting = useMemo(() => chat.runs.slice(1), [chat.runs]);
  const rows = useRows(log, chat.messages, waiting);
  const { read } = earlier;
  const isMissing = log !== undefined && wanted !== undefined && !reaches(log, wanted);
  useEffect(() => {
    if (isMissing && !earlier.isReading) read?.();
  }, [isMissing, earlier.isReading, read]);

  const ends = rows.filter((row) => row.kind === "end");
  const newest = chat.runs[0]?.runId ?? ends.at(-1)?.runId;
  const last = ends.findLast(({ runId }) => runId === newest)?.run; // below it there may be one that was taken back
  const listed = useQuery({ ...runQuery(newest ?? ""), enabled: newest !== undefined && chat.runs.length === 0 }).data;
  const known = chat.runs[0] ?? (listed?.runId === newest ? listed : undefined);
  const run = known && last?.runId === known.runId ? { ...known, status: last.status as Run["status"] } : known;
  const atWork = run !== undefined && last?.finishedAt == null && run.finishedAt == null ? run : undefined;
  const { send } = chat;
  const steering = useSteering(atWork, send);
  const error = chat.error ?? earlier.error ?? steering.error;
  const askToStop = () => setIsAskingToStop(atWork !== undefined && atWork.stopRequestedAt == null);
  return (
    <div className="flex h-full min-h-0">
      <main id="main" tabIndex={-1} className="flex min-h-0 min-w-0 flex-1 flex-col">
        <ChatHeader chatId={chatId} run={run} isAtWork={atWork !== undefined} onStop={askToStop} />
        <Conversation
          rows={rows}
          isPending={chat.log.isPending}
          onEarlier={read}
          onGap={earlier.readAgain}
          isReadingEarlier={earlier.isReading}
          wanted={wanted}
          onRetry={send}
        />
        <div className="mx-auto w-full max-w-[800px] px-5 pb-1.5 empty:hidden xl:max-w-[848px] xl:px-11 max-sm:px-3">
          {error && <ProblemNote error={error} onRetry={earlier.error ? earlier.retry : undefined} />}
          {atWork?.waitingFor && <WaitingLine waitingFor={atWork.waitingFor} />}
        </div>
        <QueuedMessages chatId={chatId} runs={waiting} />
        <Composer
          chatId={chatId}
          isBusy={chat.isBusy}
          isFirst={log !== undefined && rows.length === 0}
          onSend={send}
          onTell={steering.tell}
          onEscape={askToStop}
        />
      </main>
      <SidePanel sessionId={chatId} run={run} messages={chat.messages} />
      {isAskingToStop && atWork && (
        <StopQuestion chatId={chatId} runId={atWork.runId} onDone={() => setIsAskingToStop(false)} />
      )}
      {isMissing && earlier.isReading && (
        <p role="status" className="sr-only">
          {t("chat.lookingForEvent")}
        </p>
      )}
    </div>
  );
}

/** True where what was read of a chat holds an event, or there is no more to read. */
function reaches(log: ChatLog, { runId, seq }: Wanted): boolean {
  if (earliest(log) === null) return true;
  const pages = log.before.flatMap((page) => ("messages" in page ? page.messages : []));
  return [...log.newest.messages, ...pages].some((message) => {
    return (
      message.role === "assistant" &&
      message.id === runId &&
      (message.metadata.begins || message.metadata.firstSeq <= seq)
    );
  });
}
