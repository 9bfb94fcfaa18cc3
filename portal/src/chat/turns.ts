import { type Block, joined } from "../events/blocks";
import { blocksOf } from "../events/logged_blocks";
import { blocksOfMessage, type LiveFacts, type Message } from "../events/message";
import type { AnswerAbout, ChatPage, LoggedAnswer } from "./chat_log";

/** One turn of a conversation: what somebody said and what came of it, as it was logged and as it streams in. */
export interface Turn {
  /** Names the turn for as long as it is shown, also before its run is known. */
  readonly key: string;
  readonly runId: string | undefined;
  /** Unknown where the turn begins before what was read. */
  readonly prompt: string | undefined;
  readonly blocks: readonly Block[];
  readonly run: RunInBrief | undefined;
}

/** What is known of a turn's run, by its events where they are newer than what was read. */
export interface RunInBrief {
  readonly runId: string;
  readonly status: string;
  readonly usage: Readonly<Record<string, unknown>>;
  readonly startedAt?: string | null;
  readonly finishedAt?: string | null;
  readonly stopReason?: string | null;
  readonly failureCode?: string | null;
  readonly failureMessage?: string | null;
  readonly remedy?: string | null;
  readonly logRemoved?: boolean | null;
}

/**
 * Returns the turns of what was read in reading order. `waiting` are the runs in line behind the one at work: they are shown elsewhere. `messages` are
 * useChat's: what streams in, or did since the chat was opened.
 */
export function turnsOf(log: ChatPage, messages: readonly Message[], waiting: ReadonlySet<string>): readonly Turn[] {
  const live = new Map(messages.flatMap((each) => (each.role === "assistant" ? [[each.id, each] as const] : [])));
  const asked = questionsOf(messages);
  const turns = new Map<string, Turn>();
  for (const message of log.messages) {
    const { runId } = message.metadata;
    if (message.role === "user") {
      const prompt = textOf(message.parts);
      turns.set(runId, { key: runId, runId, prompt, blocks: [], run: undefined });
    } else {
      const prompt = turns.get(runId)?.prompt;
      turns.set(runId, { key: runId, runId, prompt, ...answerOf(message, live.get(runId)) });
    }
  }
  for (const [runId, message] of live) {
    const known = turns.get(runId);
    if (known?.run) continue;
    const prompt = known?.prompt ?? asked.get(runId);
    turns.set(runId, { key: runId, runId, prompt, blocks: blocksOfMessage(message), run: liveRun(message.metadata) });
  }
  for (const runId of waiting) turns.delete(runId);
  return [...turns.values(), ...unstarted(messages)];
}

const read = new WeakMap<LoggedAnswer, readonly Block[]>();

/** The blocks of a message that was read; made once. */
export function blocksRead(message: LoggedAnswer): readonly Block[] {
  const known = read.get(message) ?? blocksOf(message.parts);
  read.set(message, known);
  return known;
}

function answerOf(logged: LoggedAnswer, live: Message | undefined): Pick<Turn, "blocks" | "run"> {
  const about = logged.metadata;
  const blocks = blocksRead(logged);
  const facts = live?.metadata;
  if (!live || !facts || isBehind(facts, about)) return { blocks, run: about.ends === false ? undefined : about };
  const before = blocks.filter((block) => block.seq <= facts.from);
  return { blocks: joined(before, blocksOfMessage(live)), run: { ...about, ...liveRun(facts, about) } };
}

/** A stream that ended before its log did: what was read says more. */
function isBehind(facts: LiveFacts, about: AnswerAbout): boolean {
  return about.finishedAt != null && facts.upTo < about.lastSeq;
}

function liveRun(facts: LiveFacts | undefined, about?: AnswerAbout): RunInBrief | undefined {
  if (!facts) return undefined;
  const status = about?.finishedAt == null ? (facts.status ?? about?.status ?? "queued") : about.status;
  return { usage: {}, ...about, ...facts, status };
}

/** What was said here, by the run that it started. */
function questionsOf(messages: readonly Message[]): ReadonlyMap<string, string> {
  return new Map(
    messages.flatMap((message, place) => {
      const next = messages[place + 1];
      return message.role === "user" && next?.role === "assistant" ? [[next.id, textOf(message.parts)] as const] : [];
    }),
  );
}

/** What was just said here, before there is a run for it. */
function unstarted(messages: readonly Message[]): readonly Turn[] {
  const last = messages.at(-1);
  if (last?.role !== "user") return [];
  return [{ key: last.id, runId: undefined, prompt: textOf(last.parts), blocks: [], run: undefined }];
}

function textOf(parts: readonly object[]): string {
  return parts.flatMap((part) => ("text" in part && typeof part.text === "string" ? [part.text] : [])).join("\n");
}
