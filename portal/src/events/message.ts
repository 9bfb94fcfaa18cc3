import type { UIMessage, UIMessageChunk } from "ai";

/** What is known of an answer beside its parts. */
export interface AnswerFacts {
  runId?: string;
  /** The cursor from which the answer streams in; what came before is read from the log. */
  from?: number;
  status?: string;
  usage?: unknown;
  failureCode?: string;
  remedy?: string;
}

/** Facts that have no part of their own in AI SDK's protocol: `data-` and the event's type, with dashes. */
export type Facts = Record<string, Readonly<Record<string, unknown>>>;

export type Message = UIMessage<AnswerFacts, Facts>;
export type Part = Message["parts"][number];
export type Chunk = UIMessageChunk<AnswerFacts, Facts>;
