import type { Block } from "../events/blocks";
import type { RunInBrief, Turn } from "./turns";

/** One line of a conversation as it is laid out: a long chat is many of these, and only those in sight are on the page. */
export type Row = PromptRow | BlockRow | EndRow | GapRow;

interface Placed {
  readonly key: string;
  readonly runId: string | undefined;
}

export interface PromptRow extends Placed {
  readonly kind: "prompt";
  readonly text: string;
}

export interface BlockRow extends Placed {
  readonly kind: "block";
  readonly node: Node;
}

/** How a turn ended, or what it waits for. */
export interface EndRow extends Placed {
  readonly kind: "end";
  readonly run: RunInBrief;
  readonly prompt: string | undefined;
  /** What the agent said at last, for taking along. */
  readonly answer: string;
  readonly isLast: boolean;
}

/** Messages that were put away, as high as they may have been. */
export interface GapRow extends Placed {
  readonly kind: "gap";
  readonly before: string;
  readonly height: number;
}

/** A block and, of a sub-agent's call, what it did. */
export interface Node {
  readonly block: Block;
  readonly children: readonly Node[];
}

/** `isNow`: the last of the turns is the last of the chat. */
export function rowsOf(turns: readonly Turn[], isNow = true): readonly Row[] {
  return turns.flatMap((turn, place): readonly Row[] => {
    const { key, runId, prompt, run, blocks } = turn;
    const said: readonly Row[] =
      prompt === undefined ? [] : [{ kind: "prompt", key: `${key}:prompt`, runId, text: prompt }];
    const done = nodesOf(blocks).map((node): Row => {
      return { kind: "block", key: `${key}:${node.block.key}`, runId, node };
    });
    const last = blocks.findLast((block) => block.kind === "text");
    const answer = last?.kind === "text" ? last.text : "";
    const isLast = isNow && place === turns.length - 1;
    const end: readonly Row[] = run ? [{ kind: "end", key: `${key}:end`, runId, run, prompt, answer, isLast }] : [];
    return [...said, ...done, ...end];
  });
}

/** The row that shows an event: the first of its run that is not before it. */
export function placeOf(rows: readonly Row[], runId: string, seq: number): number {
  const ofRun = (row: Row) => row.runId === runId;
  const place = rows.findIndex((row) => ofRun(row) && row.kind === "block" && lastSeq(row.node) >= seq);
  return place >= 0 ? place : rows.findLastIndex(ofRun);
}

/** The next row, or the one before, that says something: of ends only how a run broke off. */
export function stepFrom(rows: readonly Row[], from: number, by: 1 | -1): number {
  let place = from + by;
  while (saysNothing(rows[place])) place += by;
  return place >= 0 && place < rows.length ? place : from;
}

function saysNothing(row: Row | undefined): boolean {
  return row?.kind === "end" && (row.run.finishedAt == null || row.run.status === "succeeded");
}

function lastSeq({ block, children }: Node): number {
  return Math.max(block.seq, ...children.map(lastSeq));
}

/** Puts the calls of sub-agents below the calls that they belong to. One whose own did not come before it stands by itself. */
function nodesOf(blocks: readonly Block[]): readonly Node[] {
  const below = new Map<string, Block[]>();
  const top: Block[] = [];
  for (const block of blocks) {
    const siblings = block.kind === "tool" && block.parent !== undefined ? below.get(block.parent) : undefined;
    (siblings ?? top).push(block);
    if (block.kind === "tool") below.set(block.key, []);
  }
  const nodeOf = (block: Block): Node => ({ block, children: (below.get(block.key) ?? []).map(nodeOf) });
  return top.map(nodeOf);
}

/** True where a row would look the same. */
export function isSameRow(a: Row, b: Row): boolean {
  if (a.kind !== b.kind || a.key !== b.key) return false;
  if (a.kind === "block" && b.kind === "block") return isSameNode(a.node, b.node);
  const [left, right] = [Object.entries(a), new Map<string, unknown>(Object.entries(b))];
  return left.every(([name, value]) => right.get(name) === value);
}

function isSameNode(a: Node, b: Node): boolean {
  return (
    a.block === b.block &&
    a.children.length === b.children.length &&
    a.children.every((child, place) => {
      const other = b.children[place];
      return other !== undefined && isSameNode(child, other);
    })
  );
}
