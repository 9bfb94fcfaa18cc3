/**
 * What an answer is made of, as a page shows it. Two ways lead here, from the events of a run as they come (`BlockFold`) and from the
 * messages of a chat as the server keeps them (`blocksOf`); recorded runs hold the two together.
 */

export type Block = TextBlock | ToolBlock | AskBlock | NoteBlock;

interface Placed {
  /** Names the block in its run; the same for as long as it grows. */
  readonly key: string;
  /** Where in the log it is: the event that a link to it names. */
  readonly seq: number;
  readonly at: string;
}

export interface TextBlock extends Placed {
  readonly kind: "text" | "thinking";
  readonly text: string;
  /** A person told it to the agent while that was at work. */
  readonly isOfPerson?: boolean;
  readonly isGrowing: boolean;
  readonly isCut: boolean;
}

export type ToolStatus = "running" | "ok" | "error" | "denied" | "interrupted";

export interface ToolBlock extends Placed {
  readonly kind: "tool";
  readonly name: string;
  /** read, edit, execute, search, fetch, think, other */
  readonly does: string;
  readonly title: string;
  readonly input: unknown;
  /** The call of the sub-agent that this one belongs to. */
  readonly parent?: string;
  readonly status: ToolStatus;
  readonly output?: string;
  /** Where the whole of an output is that was too long for the log. */
  readonly blobId?: string;
  readonly endedAt?: string;
}

/** A question or an approval, and what became of it. */
export interface AskBlock extends Placed {
  readonly kind: "ask";
  readonly asked: Facts;
  readonly resolved?: Facts;
}

/** An event that is a line of its own: a warning, what was restored, a type of tomorrow. */
export interface NoteBlock extends Placed {
  readonly kind: "note";
  readonly type: string;
  readonly data: Facts;
  /** Which attempt begins here, where it is told what that one knows. */
  readonly attempt?: number;
}

export type Facts = Readonly<Record<string, unknown>>;

/** A field as text; what is not there is the empty text. */
export function textOf(facts: Facts, name: string): string {
  const value = facts[name];
  return typeof value === "string" ? value : "";
}

/** A tool's output as text. Agents give texts; whatever else one gives is shown as it is. */
export function outputOf(value: unknown): string {
  return value == null ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** Blocks that were read and those that came after: what came later about the same thing takes its place. */
export function joined(read: readonly Block[], live: readonly Block[]): readonly Block[] {
  if (live.length === 0) return read;
  const later = new Map(live.map((block) => [block.key, block]));
  const kept = read.map((block) => {
    const newer = later.get(block.key);
    later.delete(block.key);
    return newer ?? block;
  });
  return [...kept, ...later.values()];
}
