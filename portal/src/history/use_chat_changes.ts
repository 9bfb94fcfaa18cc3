import { type InfiniteData, type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
import { useLocation } from "wouter";
import { answered, api, type Schemas } from "../api/client";

type Page = Schemas["PageOf_ChatView_"];

/** Changes of one chat that everybody sees who sees it. The lists are read again after each. */
export function useChatChanges(chatId: string) {
  const client = useQueryClient();
  const [location, navigate] = useLocation();
  const params = { path: { session_id: chatId } };
  const change = useMutation({
    mutationFn: (body: Schemas["ChatChange"]) =>
      answered(api.PUT("/api/chat-opencode-history/{session_id}", { params, body })),
    onSuccess: (chat) => {
      client.setQueryData(["chat", chatId], chat);
      return client.invalidateQueries({ queryKey: ["chats"] });
    },
  });
  const remove = useMutation({
    mutationFn: () => answered(api.DELETE("/api/chat-opencode-history/{session_id}", { params })),
    onSuccess: () => {
      forget(client, chatId);
      if (location === `/chats/${chatId}`) navigate("/");
    },
  });
  return { change, remove };
}

/** Takes a chat out of the lists at once: what is not there is not to be opened before they are read again. */
function forget(client: QueryClient, chatId: string): void {
  client.setQueriesData<InfiniteData<Page>>(
    { queryKey: ["chats"] },
    (lists) =>
      lists && {
        ...lists,
        pages: lists.pages.map((page) => ({ ...page, items: page.items.filter((each) => each.chatId !== chatId) })),
      },
  );
}
