import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ChatLog, earliest, withPage } from "./chat_log";
import { chatLogQuery, pageOf } from "./queries";

/** Reads what came before what was read of a chat, and what was put away of it, one page at a time. */
export function useEarlier(chatId: string, log: ChatLog | undefined) {
  const client = useQueryClient();
  const { mutate, isPending, error, variables } = useMutation({
    mutationFn: (before: string) => pageOf(chatId, before),
    onSuccess: (page, before) => {
      client.setQueryData(chatLogQuery(chatId).queryKey, (now) => now && withPage(now, before, page));
    },
  });
  const cursor = log ? earliest(log) : null;
  return {
    read: cursor === null || error ? undefined : () => mutate(cursor),
    /** Reads a page that was put away: the one before a cursor. */
    readAgain: error ? undefined : mutate,
    retry: variables === undefined ? undefined : () => mutate(variables),
    isReading: isPending,
    error,
  };
}
