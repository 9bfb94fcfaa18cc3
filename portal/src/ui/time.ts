/** The time of day for what is of today, else the day. */
export function shortTime(timestamp: string, language: string, now: Date = new Date()): string {
  const time = new Date(timestamp);
  const isToday = time.toDateString() === now.toDateString();
  const form: Intl.DateTimeFormatOptions = isToday
    ? { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }
    : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(language, form).format(time);
}

const exact = new Map<string, Intl.DateTimeFormat>(); // making one takes longer than using it a hundred times

/** The time of day to the second. */
export function exactTime(timestamp: string, language: string): string {
  let form = exact.get(language);
  if (!form) {
    form = new Intl.DateTimeFormat(language, {
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
    });
    exact.set(language, form);
  }
  return form.format(new Date(timestamp));
}

/** Day and time. */
export function dayAndTime(timestamp: string, language: string): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }).format(
    new Date(timestamp),
  );
}
