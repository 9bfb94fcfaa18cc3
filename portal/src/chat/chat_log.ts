import type { Facts } from "../events/blocks";
import type { Schemas } from "../api/client";

/** What the server keeps of a chat, as far as it was read: messages, the oldest first, without a gap up to the newest that was there. */
export interface ChatLog {
  readonly messages: readonly LoggedMessage[];
  /** Leads to what came before; null at the beginning of the chat. */
  readonly earlier: string | null;
}

export type LoggedMessage = LoggedPrompt | LoggedAnswer;

export interface LoggedPrompt {
  readonly id: string;
  readonly role: "user";
  readonly parts: readonly Facts[];
  readonly metadata: { readonly runId: string; readonly status: string; readonly createdAt: string };
}

export interface LoggedAnswer {
  readonly id: string;
  readonly role: "assistant";
  readonly parts: readonly Facts[];
  readonly metadata: AnswerAbout;
}

/** Of a run: its log from `firstSeq` to `lastSeq` is what the message holds. */
export interface AnswerAbout {
  readonly runId: string;
  readonly status: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly begins: boolean;
  readonly provider: string;
  readonly model?: string | null;
  readonly attempt: number;
  readonly usage: Readonly<Record<string, unknown>>;
  readonly waitingFor?: Schemas["WaitingFor"] | null;
  readonly stopReason?: string | null;
  readonly failureCode?: string | null;
  readonly failureMessage?: string | null;
  readonly remedy?: string | null;
  readonly logRemoved?: boolean | null;
  readonly startedAt?: string | null;
  readonly finishedAt?: string | null;
}

/** Returns the log with the newest page as it is now; where that does not reach what was read before, it is all there is. */
export function withNewest(log: ChatLog | undefined, page: ChatLog): ChatLog {
  const first = page.messages[0];
  if (!log || !first || page.earlier === null) return page;
  const place = log.messages.findIndex((message) => message.id === first.id);
  if (place < 0) return isPromptOf(first, log.messages.at(-1)) ? joinedPages(log, page) : page;
  return joinedPages({ ...log, messages: log.messages.slice(0, place + 1) }, page);
}

/** Returns the log with the page before it. */
export function withEarlier(log: ChatLog, page: ChatLog): ChatLog {
  return joinedPages(page, log);
}

/** The page may begin in the middle of an answer; what is in both is taken from the later. */
function joinedPages(before: ChatLog, after: ChatLog): ChatLog {
  const [last, first] = [before.messages.at(-1), after.messages[0]];
  if (last?.role !== "assistant" || first?.role !== "assistant" || last.id !== first.id) {
    const kept = last && first?.id === last.id ? before.messages.slice(0, -1) : before.messages;
    return { messages: [...kept, ...after.messages], earlier: before.earlier };
  }
  const { firstSeq, begins } = last.metadata;
  const parts = last.parts.filter((part) => Number(part["seq"]) < first.metadata.firstSeq);
  const whole: LoggedAnswer = {
    ...first,
    parts: [...parts, ...first.parts],
    metadata: {
      ...first.metadata,
      firstSeq: Math.min(firstSeq, first.metadata.firstSeq),
      begins: begins || first.metadata.begins,
    },
  };
  return { messages: [...before.messages.slice(0, -1), whole, ...after.messages.slice(1)], earlier: before.earlier };
}

function isPromptOf(message: LoggedMessage, answer: LoggedMessage | undefined): boolean {
  return message.role === "assistant" && answer?.role === "user" && answer.metadata.runId === message.id;
}
