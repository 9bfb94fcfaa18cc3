import type { QueryClient } from "@tanstack/react-query";
import { meQuery } from "../api/queries";
import { chatLogQuery } from "../chat/queries";

const CHAT = /^\/chats\/([^/]+)/;

/** Begins to read what the address asks for before it is known who is here: one way to the server and back instead of two. What fails
 * is told by whoever shows it. */
export function readAhead(client: QueryClient, path: string) {
  client.query(meQuery).catch(() => undefined);
  const chatId = CHAT.exec(path)?.[1];
  if (chatId !== undefined) client.query(chatLogQuery(chatId)).catch(() => undefined);
}
