/** The time of day for what is of today, else the day. */
export function shortTime(timestamp: string, language: string, now: Date = new Date()): string {
  const time = new Date(timestamp);
  const isToday = time.toDateString() === now.toDateString();
  const form: Intl.DateTimeFormatOptions = isToday
    ? { hour: "2-digit", minute: "2-digit" }
    : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(language, form).format(time);
}
