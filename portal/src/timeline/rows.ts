import type { Envelope } from "../events/envelope";
import type { LogPage } from "./queries";

/** Returns the events to show: the pages that were read, then what streamed in behind them, where that follows without a gap. */
export function eventsOf(
  pages: readonly LogPage[],
  tail: readonly Envelope[],
  types: string,
): { readonly events: readonly Envelope[]; readonly isJoined: boolean } {
  const read = pages.flatMap((page) => page.events);
  const last = pages.at(-1);
  const lookedAt = Number(last?.after?.cursor ?? last?.events.at(-1)?.seq ?? 0);
  const first = tail[0]?.seq;
  if (last === undefined || first === undefined || first > lookedAt + 1) return { events: read, isJoined: false };
  const wanted = types === "" ? undefined : new Set(types.split(","));
  const fresh = tail.filter(({ seq, type }) => seq > lookedAt && (wanted === undefined || wanted.has(type)));
  return { events: fresh.length === 0 ? read : [...read, ...fresh], isJoined: true };
}

const SAID = ["title", "text", "name", "status", "message", "reason", "path", "outcome", "toolName"] as const;
const LONGEST = 160;

/** Returns one line about an event: what its data says first, whatever type it is. */
export function lineOf({ data }: Envelope): string {
  for (const name of SAID) {
    const said = data[name];
    if (typeof said === "string" && said.trim() !== "") return said.trim().replaceAll(/\s+/g, " ").slice(0, LONGEST);
  }
  const whole = JSON.stringify(data);
  return whole === "{}" ? "" : whole.slice(0, LONGEST);
}
