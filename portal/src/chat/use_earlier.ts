import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ChatLog, withEarlier } from "./chat_log";
import { chatLogQuery, pageOf } from "./queries";

/** Reads what came before what was read of a chat, one page at a time. */
export function useEarlier(chatId: string, log: ChatLog | undefined) {
  const client = useQueryClient();
  const { mutate, isPending, error } = useMutation({
    mutationFn: async (cursor: string) => ({ cursor, page: await pageOf(chatId, cursor) }),
    onSuccess: ({ cursor, page }) => {
      client.setQueryData(chatLogQuery(chatId).queryKey, (now) =>
        now?.earlier === cursor ? withEarlier(now, page) : now,
      );
    },
  });
  const cursor = log?.earlier ?? null;
  return {
    read: cursor === null || error ? undefined : () => mutate(cursor),
    again: cursor === null ? undefined : () => mutate(cursor),
    isReading: isPending,
    error,
  };
}
