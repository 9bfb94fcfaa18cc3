import type { UIMessage, UIMessageChunk } from "ai";
import type { Block } from "./blocks";

/** What an answer that streams in tells of its run beside its blocks. */
export interface LiveFacts {
  readonly runId: string;
  /** The cursor from which the answer streams in; what came before is read from the server. */
  readonly from: number;
  /** The last seq that came. */
  readonly upTo: number;
  readonly status?: string;
  readonly usage?: Readonly<Record<string, unknown>>;
  readonly attempt?: number;
  readonly finishedAt?: string;
  readonly failureCode?: string;
  readonly failureMessage?: string;
  readonly remedy?: string;
}

/** useChat's messages: an answer's parts are its blocks, each replaced as it grows. */
export type Message = UIMessage<LiveFacts, { block: Block }>;
export type Chunk = UIMessageChunk<Partial<LiveFacts>, { block: Block }>;

export function blocksOfMessage(message: Message): readonly Block[] {
  return message.parts.flatMap((part) => (part.type === "data-block" ? [part.data] : []));
}
