import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useLocation } from "wouter";
import { answered, api, keyed } from "../api/client";

/** Makes a chat and opens it. Its title is a default: its first message gives it another. */
export function useNewChat() {
  const { t } = useTranslation();
  const [, navigate] = useLocation();
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => {
      const body = { title: t("history.defaultTitle") };
      return answered(api.POST("/api/chat-opencode-history", { params: keyed(), body }));
    },
    onSuccess: async (chat) => {
      await client.invalidateQueries({ queryKey: ["chats"] });
      navigate(`/chats/${chat.chatId}`);
    },
  });
}
