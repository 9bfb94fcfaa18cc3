import { queryOptions } from "@tanstack/react-query";
import { answered, api } from "../api/client";
import { type ChatLog, type ChatPage, type LoggedMessage, withNewest } from "./chat_log";

const LOOK_AGAIN_MS = 4000;

/** The messages of a chat, from its newest back as far as they were asked for. Reading them again reads the newest alone. */
export const chatLogQuery = (chatId: string) =>
  queryOptions({
    queryKey: ["messages", chatId],
    queryFn: async ({ client, queryKey }) => withNewest(client.getQueryData<ChatLog>(queryKey), await pageOf(chatId)),
    staleTime: Infinity,
    structuralSharing: false, // pages are long, and what is unchanged is kept as it is
  });

/** Reads a page of a chat's messages: the newest, or the one before a cursor. */
export async function pageOf(chatId: string, before?: string): Promise<ChatPage> {
  const params = { path: { session_id: chatId }, query: { before: before ?? null } };
  const page = await answered(api.GET("/api/chat-opencode-history/{session_id}", { params }));
  return { messages: page.messages as unknown as LoggedMessage[], earlier: page.previousCursor };
}

/** The runs of a chat that have not ended, in their order. */
export const queueQuery = (chatId: string) =>
  queryOptions({
    queryKey: ["queue", chatId],
    queryFn: () => {
      const params = { path: { session_id: chatId }, query: { limit: 200 } };
      return answered(api.GET("/api/chat-opencode-history/{session_id}/queue", { params }));
    },
    refetchInterval: LOOK_AGAIN_MS,
  });

/** One run as the server tells it now. */
export const runQuery = (runId: string) =>
  queryOptions({
    queryKey: ["run", runId],
    queryFn: () => answered(api.GET("/api/runs/{run_id}", { params: { path: { run_id: runId } } })),
  });
