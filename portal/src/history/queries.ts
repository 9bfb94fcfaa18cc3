import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "../api/client";

export type Chat = Schemas["ChatView"];

/** Which chats: archived ones or the others, with these words in their title or in what was asked. */
export interface Wanted {
  readonly archived: boolean;
  readonly words: string;
}

export const IN_USE: Wanted = { archived: false, words: "" };
const CHATS_OF_A_PAGE = 50;
const LOOK_AGAIN_MS = 3000;

/** One's own chats, the one used last first. */
export const chatsQuery = ({ archived, words }: Wanted) =>
  infiniteQueryOptions({
    queryKey: ["chats", archived, words],
    queryFn: ({ pageParam }) => {
      const query = { mine: true, archived, q: words, limit: CHATS_OF_A_PAGE, cursor: pageParam };
      return answered(api.GET("/api/chat-opencode-history", { params: { query } }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
    placeholderData: keepPreviousData,
  });

/** One chat, without its messages. */
export const chatQuery = (chatId: string) =>
  queryOptions({
    queryKey: ["chat", chatId],
    queryFn: () => {
      const params = { path: { session_id: chatId }, query: { limit: 0 } };
      return answered(api.GET("/api/chat-opencode-history/{session_id}", { params }));
    },
  });

/** What goes on in all chats: small enough to be asked for all the time, while the page is seen. */
export const activityQuery = queryOptions({
  queryKey: ["activity"],
  queryFn: () => answered(api.GET("/api/chat-opencode-history/activity")),
  refetchInterval: LOOK_AGAIN_MS,
});

/** What is another when the activity's version is: lists of chats, each chat, what people are asked, runs. */
export const FOLLOWS_ACTIVITY: readonly string[] = ["chats", "chat", "requests", "runs"];
