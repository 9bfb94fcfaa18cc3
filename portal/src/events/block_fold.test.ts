import { describe, expect, it } from "vitest";
import { BlockFold } from "./block_fold";
import { type Block, joined } from "./blocks";
import type { Envelope } from "./envelope";
import { blocksOf } from "./logged_blocks";
import { recordedRuns } from "./recorded_runs";

function event(seq: number, type: string, data: Record<string, unknown> = {}): Envelope {
  return { id: `e${seq}`, runId: "run_1", sessionId: "s", seq, ts: `t${seq}`, type, attempt: 1, traceId: "t", data };
}

/** All blocks of events that come in pieces of some size. */
function folded(events: readonly Envelope[], size: number, begun: readonly Block[] = []): readonly Block[] {
  const fold = new BlockFold(begun);
  let blocks: readonly Block[] = [];
  for (let at = 0; at < events.length; at += size) blocks = joined(blocks, fold.add(events.slice(at, at + size)));
  return blocks;
}

/** Without what only says how a block came here: when a text began, by what name it is known. */
function told(blocks: readonly Block[]): unknown {
  const shown = blocks.filter((block) => !(block.kind === "note" && block.type === "of.tomorrow"));
  return shown.map((block) => {
    if (block.kind === "text" || block.kind === "thinking") return { ...block, key: "", at: "" };
    return block;
  });
}

describe("the blocks of an answer", () => {
  it.each(recordedRuns())("that streams in are those that are read later ($name)", ({ events, parts }) => {
    expect(blocksOf(parts).length).toBeGreaterThan(0);
    for (const size of [1, 3, events.length]) expect(told(folded(events, size))).toEqual(told(blocksOf(parts)));
  });

  it.each(recordedRuns())("are the same from any place on that the server tells ($name)", ({ events }) => {
    const whole = folded(events, 1);
    for (let from = 0; from <= events.length; from += 1) {
      const before = folded(events.slice(0, from), 1);
      if (before.some((block) => (block.kind === "text" || block.kind === "thinking") && block.isGrowing)) continue;
      expect(joined(before, folded(events.slice(from), 2, before))).toEqual(whole);
    }
  });

  it("show a type of tomorrow, whatever it is called", () => {
    const [note] = folded([event(1, "constructor", { a: 1 })], 1);
    expect(note).toMatchObject({ kind: "note", type: "constructor", data: { a: 1 } });
  });

  it("are closed by a new attempt and by the end, each in its own words", () => {
    const events = [
      event(1, "message.delta", { messageId: "m", text: "ha" }),
      event(2, "tool.call", { toolCallId: "c", name: "Bash", title: "ls" }),
      event(3, "run.started", { attempt: 2 }),
      event(4, "message.delta", { messageId: "m", text: "again" }),
    ];
    expect(folded(events, 1)).toMatchObject([
      { kind: "text", text: "ha", isGrowing: false },
      { kind: "tool", status: "interrupted", endedAt: "t3" },
      { kind: "text", text: "again", isGrowing: true },
    ]);
  });

  it("take the whole text for what was said in pieces", () => {
    const events = [
      event(1, "message.delta", { messageId: "m", text: "pie" }),
      event(2, "message.stop", { messageId: "m", text: "pieces" }),
    ];
    expect(folded(events, 1)).toMatchObject([{ key: "text:1", text: "pieces", isGrowing: false, seq: 2 }]);
  });

  it("keep what a result says: how it ended, where the whole of it is", () => {
    const call = (id: string) => ({ toolCallId: id, name: "Bash", kind: "execute", title: id, input: {} });
    const events = [
      event(1, "tool.call", call("a")),
      event(2, "tool.call", { ...call("b"), parentToolCallId: "a" }),
      event(3, "tool.result", { toolCallId: "b", status: "denied", output: "no" }),
      event(4, "tool.result", { toolCallId: "a", status: "ok", output: { x: 1 }, blobId: "blob" }),
      event(5, "tool.result", { toolCallId: "of nobody", status: "ok" }),
    ];
    expect(folded(events, 1)).toMatchObject([
      { key: "a", status: "ok", output: '{\n  "x": 1\n}', blobId: "blob", endedAt: "t4" },
      { key: "b", status: "denied", output: "no", parent: "a" },
      { kind: "note", type: "tool.result" },
    ]);
  });
});
