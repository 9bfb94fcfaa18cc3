import type { Envelope } from "./envelope";
import type { LiveFacts } from "./message";

/** Returns what events tell of their run itself: its state, its usage, how it ended. What they do not tell is left out. */
export function factsOf(events: readonly Envelope[]): Partial<LiveFacts> {
  const facts: { -readonly [name in keyof LiveFacts]?: LiveFacts[name] } = {};
  for (const { seq, ts, type, data } of events) {
    facts.upTo = seq;
    if (type === "run.status" && typeof data["status"] === "string") facts.status = data["status"];
    else if (type === "run.started" && typeof data["attempt"] === "number") facts.attempt = data["attempt"];
    else if (type === "usage.update") facts.usage = data;
    else if (type === "run.finished") Object.assign(facts, endOf(data), { finishedAt: ts });
  }
  return facts;
}

function endOf(data: Envelope["data"]): Partial<LiveFacts> {
  const { status, failureCode, message, remedy } = data;
  return {
    ...(typeof status === "string" && { status }),
    ...(typeof failureCode === "string" && { failureCode }),
    ...(typeof message === "string" && { failureMessage: message }),
    ...(typeof remedy === "string" && { remedy }),
  };
}
