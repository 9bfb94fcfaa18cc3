import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { answered, api } from "../api/client";
import { useIsSeen } from "../ui/use_is_seen";
import { chatQuery } from "./queries";

/** Marks what is new in the open chat as read once somebody sees the page. The mark is the server's, so it holds in all browsers. */
export function useReading(chatId: string): void {
  const client = useQueryClient();
  const isSeen = useIsSeen();
  const { data: chat } = useQuery(chatQuery(chatId));
  const { mutate } = useMutation({
    mutationFn: (newsAt: string) => {
      const params = { path: { session_id: chatId } };
      return answered(api.PUT("/api/chat-opencode-history/{session_id}/read", { params, body: { newsAt } }));
    },
    onSuccess: () => client.invalidateQueries({ queryKey: ["chats"] }),
  });
  const news = chat?.unread === true ? chat.newsAt : null;
  useEffect(() => {
    if (isSeen && news != null) mutate(news);
  }, [isSeen, news, mutate]);
}
