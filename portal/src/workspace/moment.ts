/** A time to the minute; with its day where that is not today. */
export function momentText(timestamp: string, language: string, now: Date = new Date()): string {
  const time = new Date(timestamp);
  const isToday = time.toDateString() === now.toDateString();
  const day = isToday ? {} : ({ month: "short", day: "numeric" } as const);
  return new Intl.DateTimeFormat(language, { ...day, hour: "2-digit", minute: "2-digit", hour12: false }).format(time);
}
