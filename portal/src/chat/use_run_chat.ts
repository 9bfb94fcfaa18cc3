import { useChat } from "@ai-sdk/react";
import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { answered, api, keyed, newKey } from "../api/client";
import type { Run } from "../api/queries";
import type { Envelope } from "../events/envelope";
import type { Message } from "../events/message";
import { activityQuery, chatQuery } from "../history/queries";
import { workspaceKey } from "../workspace/queries";
import { newestStretch } from "./chat_log";
import { chatLogQuery, queueQuery } from "./queries";
import { type ChatSide, leaveStream, type Place, RunTransport } from "./run_transport";
import { blocksRead } from "./turns";

const NONE: readonly Run[] = [];
const RENDER_MS = 50;
/** What the line of runs and what people are asked depend on. */
const CHANGES_QUEUE = new Set(["run.status", "human_loop.requested", "human_loop.resolved", "run.finished"]);

/**
 * A chat: what the server keeps of it, the runs that have not ended, and the messages that stream in now. The run at work is followed;
 * each list of runs that comes leads to one attempt at most, so that what cannot be followed is not asked for without pause.
 */
export function useRunChat(chatId: string) {
  const client = useQueryClient();
  const [generation, setGeneration] = useState(0);
  const log = useQuery(chatLogQuery(chatId));
  const queue = useQuery(queueQuery(chatId));
  const transport = useMemo(() => {
    const forget = () => {
      setGeneration((before) => before + 1);
      void client.resetQueries({ queryKey: chatLogQuery(chatId).queryKey });
      void client.invalidateQueries({ queryKey: queueQuery(chatId).queryKey });
    };
    return new RunTransport(sideOf(client, chatId, forget));
  }, [client, chatId]);
  const chat = useChat<Message>({
    id: `${chatId}:${generation}`, // another one begins without messages
    transport,
    throttle: RENDER_MS,
    onFinish: () => readAgain(client, chatId),
  });
  const { sendMessage, resumeStream, status } = chat;
  const isFollowing = status === "submitted" || status === "streaming";
  const followed = chat.messages.at(-1);
  const { mutate: enqueue, error: notQueued } = useMutation({
    mutationFn: ({ prompt, key }: { prompt: string; key: string }) => startRun(chatId, prompt, key),
    onSuccess: () => readAgain(client, chatId),
  });
  const runs = queue.data?.items ?? NONE;
  const isBusy = isFollowing || runs.length > 0;
  const atWork = runs[0]?.runId;
  const listedAt = queue.dataUpdatedAt;
  const actedOn = useRef(0);
  const waitsBehind = isFollowing && followed?.role === "assistant" && followed.metadata?.status === "queued";
  useEffect(() => {
    if (atWork === undefined || actedOn.current >= listedAt) return;
    if (isFollowing) {
      if (waitsBehind && followed.id !== atWork) leaveStream(); // another came first: that one is at work
      return;
    }
    actedOn.current = Infinity; // none while this one is tried
    void resumeStream().finally(() => {
      actedOn.current = client.getQueryState(queueQuery(chatId).queryKey)?.dataUpdatedAt ?? 0;
    });
  }, [client, chatId, atWork, listedAt, isFollowing, waitsBehind, followed?.id, resumeStream]);
  const line = runs.map(({ runId }) => runId).join(" ");
  const lineBefore = useRef(line);
  useEffect(() => {
    if (lineBefore.current === line) return;
    lineBefore.current = line;
    void client.invalidateQueries({ queryKey: chatLogQuery(chatId).queryKey }); // a run came or went, maybe unseen
  }, [client, chatId, line]);
  const about = useQuery(chatQuery(chatId)).data;
  const newsAt = about && (about.newsAt ?? "");
  const newsBefore = useRef(newsAt);
  useEffect(() => {
    const isNew = newsBefore.current !== undefined && newsBefore.current !== newsAt;
    newsBefore.current = newsAt;
    // maybe of a run that began and ended between two looks at the line
    if (isNew) void client.invalidateQueries({ queryKey: chatLogQuery(chatId).queryKey });
  }, [client, chatId, newsAt]);
  const send = useCallback(
    (text: string) => {
      if (isBusy) enqueue({ prompt: text, key: newKey() });
      else void sendMessage({ text });
    },
    [isBusy, enqueue, sendMessage],
  );
  const error = log.error ?? chat.error ?? notQueued;
  return { log, runs, messages: chat.messages, isBusy, error, send };
}

function sideOf(client: QueryClient, chatId: string, onReset: () => void): ChatSide {
  return {
    start: async (prompt, key) => {
      const { runId } = await startRun(chatId, prompt, key);
      void client.invalidateQueries({ queryKey: queueQuery(chatId).queryKey });
      return { runId, from: 0, begun: [] };
    },
    atWork: () => placeAtWork(client, chatId),
    onEvents: (events) => onEvents(client, chatId, events),
    onReset,
  };
}

function startRun(chatId: string, prompt: string, key: string) {
  const body = { sessionId: chatId, prompt };
  return answered(api.POST("/api/runs/start", { params: keyed(key), headers: { Prefer: "respond-async" }, body }));
}

/** Where the run at work is followed from: behind what the server tells of it as a message. */
async function placeAtWork(client: QueryClient, chatId: string): Promise<Place | null> {
  const queue = await client.query({ ...queueQuery(chatId), staleTime: 0 });
  const run = queue.items[0];
  if (!run) return null;
  const log = await client.query({ ...chatLogQuery(chatId), staleTime: 0 });
  const read = newestStretch(log).messages.findLast((message) => message.id === run.runId);
  if (read?.role !== "assistant") return { runId: run.runId, from: 0, begun: [] };
  return { runId: run.runId, from: read.metadata.lastSeq, begun: blocksRead(read) };
}

function onEvents(client: QueryClient, chatId: string, events: readonly Envelope[]): void {
  if (events.some(({ type }) => CHANGES_QUEUE.has(type))) {
    void client.invalidateQueries({ queryKey: queueQuery(chatId).queryKey });
    void client.invalidateQueries({ queryKey: ["requests"] });
  }
  if (events.some(({ type }) => type === "workspace.synced")) {
    void client.invalidateQueries({ queryKey: workspaceKey(chatId) });
  }
  if (events.some(({ type }) => type === "todo.update")) void client.invalidateQueries({ queryKey: ["todos"] });
}

function readAgain(client: QueryClient, chatId: string): void {
  for (const { queryKey } of [queueQuery(chatId), chatLogQuery(chatId), activityQuery]) {
    void client.invalidateQueries({ queryKey });
  }
}
