import { describe, expect, it } from "vitest";
import type { TextBlock } from "../events/blocks";
import type { LiveFacts, Message } from "../events/message";
import type { ChatPage, LoggedAnswer, LoggedPrompt } from "./chat_log";
import { turnsOf } from "./turns";

const prompt = (runId: string): LoggedPrompt => ({
  id: `${runId}_prompt`,
  role: "user",
  parts: [{ type: "text", text: `prompt of ${runId}` }],
  metadata: { runId, status: "", createdAt: "" },
});
const answer = (runId: string, lastSeq: number, facts: object = {}, ...seqs: number[]): LoggedAnswer => ({
  id: runId,
  role: "assistant",
  parts: seqs.map((seq) => ({ type: "text", text: `logged ${seq}`, seq, ts: "" })),
  metadata: {
    runId,
    status: "running",
    firstSeq: 1,
    lastSeq,
    begins: true,
    provider: "",
    attempt: 1,
    usage: {},
    ...facts,
  },
});
const log = (...messages: ChatPage["messages"]): ChatPage => ({ messages, earlier: null });
const said = (id: string, text: string): Message => ({ id, role: "user", parts: [{ type: "text", text }] });
const block = (seq: number): TextBlock => {
  return { kind: "text", key: `text:${seq}`, seq, at: "", text: `live ${seq}`, isGrowing: false, isCut: false };
};
const live = (runId: string, facts: Partial<LiveFacts>, ...seqs: number[]): Message => ({
  id: runId,
  role: "assistant",
  metadata: { runId, from: 0, upTo: seqs.at(-1) ?? 0, ...facts },
  parts: seqs.map((seq) => ({ type: "data-block", id: `text:${seq}`, data: block(seq) })),
});
const told = (read: ChatPage, messages: Message[], waiting: string[] = []) =>
  turnsOf(read, messages, new Set(waiting)).map(({ key, prompt: asked, blocks, run }) => ({
    key,
    prompt: asked,
    text: blocks.flatMap((each) => (each.kind === "text" ? [each.text] : [])),
    status: run?.status,
  }));

describe("the turns of a chat", () => {
  it("are those that were read, in their order", () => {
    const read = log(prompt("1"), answer("1", 5, { status: "succeeded" }, 3), prompt("2"), answer("2", 4, {}, 4));
    expect(told(read, [])).toEqual([
      { key: "1", prompt: "prompt of 1", text: ["logged 3"], status: "succeeded" },
      { key: "2", prompt: "prompt of 2", text: ["logged 4"], status: "running" },
    ]);
  });

  it("show a message once: before its run is known, before it is read, and after", () => {
    expect(told(log(), [said("m", "hi")])).toMatchObject([{ key: "m", prompt: "hi", text: [] }]);
    const answered = [said("m", "hi"), live("1", {}, 2)];
    expect(told(log(), answered)).toMatchObject([{ key: "1", prompt: "hi", text: ["live 2"] }]);
    expect(told(log(prompt("1")), answered)).toMatchObject([{ key: "1", prompt: "prompt of 1", text: ["live 2"] }]);
    const read = log(prompt("1"), answer("1", 2, {}, 2));
    expect(told(read, answered)).toMatchObject([{ key: "1", text: ["live 2"] }]);
  });

  it("go on where what was read ends, without gap or double, also when it is read again", () => {
    const streamed = [live("1", { from: 3 }, 5, 7)];
    expect(told(log(prompt("1"), answer("1", 3, {}, 2)), streamed)[0]?.text).toEqual(["logged 2", "live 5", "live 7"]);
    const again = log(prompt("1"), answer("1", 7, { finishedAt: "t" }, 2, 5, 7));
    expect(told(again, streamed)[0]?.text).toEqual(["logged 2", "live 5", "live 7"]);
  });

  it("are what was read where the stream ended before the log", () => {
    const streamed = [live("1", { from: 3, status: "running" }, 5)];
    const read = log(prompt("1"), answer("1", 9, { finishedAt: "t", status: "failed" }, 2, 5, 8));
    expect(told(read, streamed)).toMatchObject([{ text: ["logged 2", "logged 5", "logged 8"], status: "failed" }]);
  });

  it("tell the state that the events tell, until the run has ended", () => {
    const streamed = [live("1", { status: "waiting_human" }, 2)];
    expect(told(log(prompt("1"), answer("1", 0)), streamed)[0]?.status).toBe("waiting_human");
  });

  it("are without those that wait in line", () => {
    const read = log(prompt("1"), answer("1", 2, {}, 2), prompt("2"));
    expect(told(read, [live("2", { status: "queued" })], ["2"]).map(({ key }) => key)).toEqual(["1"]);
  });
});
