import { type AskBlock, type Facts, textOf } from "../events/blocks";

/** A question or an approval that an agent asks for, as a card shows it: from a run's log, or as the API tells it. */
export interface Asked {
  readonly requestId: string;
  readonly kind: string;
  readonly title: string;
  readonly createdAt: string;
  readonly toolCall?: { readonly name?: string; readonly kind?: string | null; readonly input?: unknown } | null;
  readonly questions?: readonly Question[] | null;
  readonly options?: readonly unknown[] | null;
  readonly rule?: string | null;
  readonly deadlineAt?: string | null;
  readonly timeoutMs?: number | null;
}

export interface Question {
  readonly id: string;
  readonly question: string;
  readonly header?: string | null;
  readonly multiple?: boolean | null;
  readonly options?: readonly { readonly label: string; readonly description?: string | null }[] | null;
}

/** What became of it. */
export interface Resolution {
  readonly outcome: string;
  readonly decision?: string;
  readonly answers?: Readonly<Record<string, readonly string[]>>;
  readonly message?: string;
  readonly byName?: string;
}

/** What was asked, of the event that says so. */
export function askedOf({ key, at, asked }: AskBlock): Asked {
  return { ...asked, requestId: key, createdAt: at, kind: textOf(asked, "kind"), title: textOf(asked, "title") };
}

/** What became of a request: of the event that says so, of a reply that was sent, or of a request that was read. */
export function resolutionOf(told: Facts): Resolution {
  const reply = (told["reply"] ?? {}) as Facts;
  const answers = reply["answers"];
  return {
    outcome: textOf(told, "outcome"),
    ...given("decision", reply),
    ...given("message", reply),
    ...given("byName", told),
    ...(typeof answers === "object" && answers !== null && { answers: answers as Resolution["answers"] & object }),
  };
}

function given(name: string, facts: Facts): Readonly<Record<string, string>> {
  const value = textOf(facts, name);
  return value === "" ? {} : { [name]: value };
}

const LONG_MS = 5 * 60_000;

/** What a card says about time: that somebody has been waited for long, until when there is time, that it is over. */
export type Hint =
  { readonly says: "asked" | "long" } | { readonly says: "until" | "overdue"; readonly deadline: string };

/** A deadline closes nothing here: only the server closes a request, where its policy says so. */
export function hintOf({ createdAt, deadlineAt, timeoutMs }: Asked, now: Date): Hint {
  const asked = Date.parse(createdAt);
  const deadline = deadlineAt ?? (timeoutMs != null ? new Date(asked + timeoutMs).toISOString() : undefined);
  if (deadline !== undefined) return { says: Date.parse(deadline) < now.getTime() ? "overdue" : "until", deadline };
  return { says: now.getTime() - asked >= LONG_MS ? "long" : "asked" };
}
