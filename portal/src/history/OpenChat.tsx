import { ChatPage } from "../chat/ChatPage";
import { useReading } from "./use_reading";

/** A chat of the history that is open: whoever sees it has read it. */
export function OpenChat({ chatId }: { chatId: string }) {
  useReading(chatId);
  return <ChatPage chatId={chatId} />;
}
