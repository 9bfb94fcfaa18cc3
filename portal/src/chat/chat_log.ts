import type { Facts } from "../events/blocks";
import type { Schemas } from "../api/client";

/** Some messages of a chat as the server keeps them, the oldest first, without a gap. */
export interface ChatPage {
  readonly messages: readonly LoggedMessage[];
  /** Leads to what came before; null at the beginning of the chat. */
  readonly earlier: string | null;
}

/**
 * A chat as far as it was read. Of the pages before the newest a few are kept, those around where one reads; the others are put away,
 * and read again when one comes near.
 */
export interface ChatLog {
  readonly newest: ChatPage;
  /** The latest first. */
  readonly before: readonly (ReadPage | AwayPage)[];
}

/** The page before a cursor. What was logged never changes, so that it is the same whenever it is read. */
interface ReadPage extends ChatPage {
  readonly before: string;
}

/** `size`: how many parts of messages it has. */
export interface AwayPage {
  readonly before: string;
  readonly earlier: string | null;
  readonly size: number;
}

const PAGES_KEPT = 8;

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
  /** False where the end of its log is on a later page. */
  readonly ends?: boolean;
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
export function withNewest(log: ChatLog | undefined, page: ChatPage): ChatLog {
  const newest = extended(log?.newest, page);
  return { newest, before: newest === page ? [] : (log?.before ?? []) };
}

/** Returns the log with the page before a cursor: the earliest, or one that was put away. */
export function withPage(log: ChatLog, before: string, page: ChatPage): ChatLog {
  const place = log.before.findIndex((each) => each.before === before);
  const read: ReadPage = { ...page, before };
  if (place < 0) {
    if (before !== earliest(log)) return log; // of a log that is no more
    return { ...log, before: nearTo(log.before.length, [...log.before, read]) };
  }
  if (log.before[place]?.earlier !== page.earlier) return { ...log, before: [] }; // cut elsewhere than it was
  return { ...log, before: nearTo(place, log.before.with(place, read)) };
}

/** Leads to what was never read; null where all was. */
export function earliest({ newest, before }: ChatLog): string | null {
  return (before.at(-1) ?? newest).earlier;
}

/** What of a log is there and what was put away, the oldest first. Pages that follow each other are one. The last is always there. */
export function stretchesOf({ newest, before }: ChatLog): readonly (ChatPage | AwayPage)[] {
  const stretches: (ChatPage | AwayPage)[] = [newest];
  for (const page of before) {
    const after = stretches.at(-1);
    if ("messages" in page && after && "messages" in after) stretches.splice(-1, 1, joinedPages(page, after));
    else stretches.push(page);
  }
  return stretches.reverse();
}

/** What is there up to the newest message. */
export function newestStretch(log: ChatLog): ChatPage {
  const last = stretchesOf(log).at(-1);
  return last && "messages" in last ? last : log.newest;
}

/** Puts away the page that is farthest from a place where there are too many. */
function nearTo(place: number, pages: ChatLog["before"]): ChatLog["before"] {
  const there = pages.flatMap((page, at) => ("messages" in page ? [at] : []));
  if (there.length <= PAGES_KEPT) return pages;
  const farthest = there.reduce((far, at) => (Math.abs(at - place) > Math.abs(far - place) ? at : far));
  return pages.map((page, at) => (at === farthest && "messages" in page ? awayOf(page) : page));
}

function awayOf({ before, earlier, messages }: ReadPage): AwayPage {
  return { before, earlier, size: messages.reduce((sum, { parts }) => sum + parts.length, 0) };
}

function extended(log: ChatPage | undefined, page: ChatPage): ChatPage {
  const first = page.messages[0];
  if (!log || !first || page.earlier === null) return page;
  const place = log.messages.findIndex((message) => message.id === first.id);
  if (place < 0) return isPromptOf(first, log.messages.at(-1)) ? joinedPages(log, page) : page;
  return joinedPages({ ...log, messages: log.messages.slice(0, place + 1) }, page);
}

/** The later page may begin in the middle of an answer; what is in both is taken from it. */
function joinedPages(before: ChatPage, after: ChatPage): ChatPage {
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
