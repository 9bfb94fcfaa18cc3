import { useTranslation } from "react-i18next";
import { Link } from "wouter";
import type { Chat } from "../api/queries";
import { shortTime } from "../ui/time";

export function HistoryItem({ chat }: { chat: Chat }) {
  const { t, i18n } = useTranslation();
  return (
    <li>
      <Link
        href={`/chats/${chat.chatId}`}
        className={(isHere) =>
          `grid grid-cols-[1fr_auto] gap-x-2 rounded-sm px-2.5 py-2 ${isHere ? "bg-accent-soft" : "hover:bg-sunken"}`
        }
      >
        <span className="truncate font-medium">{chat.title || t("history.untitled")}</span>
        <time dateTime={chat.updatedAt} className="text-sm text-muted">
          {shortTime(chat.updatedAt, i18n.language)}
        </time>
        <span className="text-sm text-muted">{chat.provider}</span>
      </Link>
    </li>
  );
}
