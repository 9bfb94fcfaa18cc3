import { useTranslation } from "react-i18next";
import { Link } from "wouter";
import { useProviderName } from "../providers/names";
import { Dot } from "../ui/Dot";
import { shortTime } from "../ui/time";
import { markOf } from "./mark";
import type { Chat } from "./queries";
import { shownText } from "../ui/shown_text";

/** A chat of the list: its name, when it was used, what goes on in it. */
export function ItemLink({ chat }: { chat: Chat }) {
  const { t, i18n } = useTranslation();
  const nameOf = useProviderName();
  const mark = markOf(chat);
  return (
    <Link
      href={`/chats/${chat.chatId}`}
      className={(isHere) =>
        `grid h-[52px] grid-cols-[minmax(0,1fr)_auto] content-center gap-x-2 rounded-sm px-2.5 -outline-offset-2 ${isHere ? "bg-accent-soft" : "hover:bg-sunken"}`
      }
    >
      <span className={`truncate ${chat.unread ? "font-semibold" : "font-medium"}`}>
        {shownText(chat.title) || t("history.untitled")}
      </span>
      <time dateTime={chat.updatedAt} className="text-sm text-muted">
        {shortTime(chat.updatedAt, i18n.language)}
      </time>
      <span className="col-span-2 flex min-w-0 items-center gap-1.5 text-sm text-muted group-focus-within:pr-5 group-hover:pr-5 pointer-coarse:pr-5">
        {mark !== "none" && <Dot tone={mark} />}
        {mark !== "none" && <span className="whitespace-nowrap">{t(`mark.${mark}`)}</span>}
        {chat.unread && (
          <>
            {mark === "none" && <Dot tone="unread" />}
            <span className={mark === "none" ? "" : "sr-only"}>{t("history.unread")}</span>
          </>
        )}
        {(mark !== "none" || chat.unread) && <span aria-hidden>·</span>}
        <span className="truncate">{nameOf(chat.provider)}</span>
      </span>
    </Link>
  );
}
