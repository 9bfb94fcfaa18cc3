import type { Chat } from "./queries";

/** One line of the list: the name of a time, or a chat of that time. */
export type Row = { readonly heading: string } | { readonly chat: Chat };

const DAY_MS = 86_400_000;
const WEEK = 7;

/** Returns the chats, the newest first, below the names of their days: today, yesterday, five weekdays, then months. */
export function rowsOf(
  chats: readonly Chat[],
  language: string,
  { now = new Date(), timeZone }: { now?: Date; timeZone?: string } = {},
): Row[] {
  const nameOf = naming(now, language, timeZone);
  const seen = new Set<string>();
  let heading = "";
  return chats.flatMap((chat): Row[] => {
    if (seen.has(chat.chatId)) return []; // it was used while the pages were read, and is on two of them
    seen.add(chat.chatId);
    const name = nameOf(new Date(chat.updatedAt));
    if (name === heading) return [{ chat }];
    heading = name;
    return [{ heading }, { chat }];
  });
}

function naming(now: Date, language: string, timeZone?: string): (time: Date) => string {
  const zone = timeZone === undefined ? {} : { timeZone };
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const weekday = new Intl.DateTimeFormat(language, { weekday: "long", ...zone });
  const month = new Intl.DateTimeFormat(language, { month: "long", year: "numeric", ...zone });
  const date = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit", ...zone });
  const dayOf = (time: Date) => Date.parse(date.format(time)) / DAY_MS; // the calendar's day: those of clock changes are not 24 h
  const today = dayOf(now);
  return (time) => {
    const ago = Math.max(0, today - dayOf(time)); // the server's clock may be ahead
    if (ago < 2) return capital(relative.format(-ago, "day"), language);
    return capital((ago < WEEK ? weekday : month).format(time), language);
  };
}

function capital(text: string, language: string): string {
  return text.charAt(0).toLocaleUpperCase(language) + text.slice(1);
}
