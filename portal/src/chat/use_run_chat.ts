import { useChat } from "@ai-sdk/react";
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { type Run, runsQuery } from "../api/queries";
import type { Message } from "../events/message";
import { activityQuery } from "../history/queries";
import { RunTransport, runAtWork } from "./run_transport";

const RENDER_MS = 50;
const LOOK_AGAIN_MS = 5000;

/**
 * A chat: its runs as the server lists them, and the messages that stream in now. A run belongs to one of the two: to the messages
 * while this page follows it and until the chat is left, else to the runs, whose logs are read.
 */
export function useRunChat(sessionId: string) {
  const client = useQueryClient();
  const transport = useMemo(
    () => new RunTransport(() => void client.invalidateQueries({ queryKey: runsQuery(sessionId).queryKey })),
    [client, sessionId],
  );
  const chat = useChat<Message>({
    id: sessionId,
    transport,
    throttle: RENDER_MS,
    onFinish: () => {
      void client.invalidateQueries({ queryKey: runsQuery(sessionId).queryKey });
      void client.invalidateQueries({ queryKey: activityQuery.queryKey });
    },
  });
  const isFollowing = chat.status === "submitted" || chat.status === "streaming";
  const runs = useInfiniteQuery({ ...runsQuery(sessionId), refetchInterval: isFollowing ? false : LOOK_AGAIN_MS });
  const listed = useMemo(() => runs.data?.pages.flatMap((page) => page.items) ?? [], [runs.data]);
  const atWork = runAtWork(listed)?.runId;
  const { resumeStream } = chat;
  useEffect(() => {
    if (atWork !== undefined && !isFollowing) void resumeStream();
  }, [atWork, isFollowing, resumeStream]);
  return { ...chat, isFollowing, runs, listed, current: currentOf(listed, chat.messages) };
}

/** The run that the chat shows as its own: the one that streams in, with the state that its events tell, else the newest. */
function currentOf(runs: readonly Run[], messages: readonly Message[]): Run | undefined {
  const followed = messages.findLast((message) => message.role === "assistant");
  const run = runs.find((each) => each.runId === followed?.id);
  const told = followed?.parts.findLast((part) => part.type === "data-run-status");
  const status = told && "data" in told ? (told.data as { status?: unknown }).status : undefined;
  if (!run || run.finishedAt != null || typeof status !== "string") return run ?? runs[0];
  return { ...run, status };
}
