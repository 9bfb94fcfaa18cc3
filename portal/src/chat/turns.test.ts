import { expect, it } from "vitest";
import type { Run } from "../api/queries";
import type { Message } from "../events/message";
import { turnsOf } from "./turns";

const run = (runId: string): Run => ({ runId, prompt: `prompt of ${runId}` }) as Run;
const said = (id: string, text: string): Message => ({ id, role: "user", parts: [{ type: "text", text }] });
const answer = (id: string): Message => ({ id, role: "assistant", parts: [] });
const told = (runs: Run[], messages: Message[]) =>
  turnsOf(runs, messages).map(({ key, prompt, live }) => [key, prompt, live?.id]);

it("reads from old to new", () => {
  expect(told([run("2"), run("1")], [])).toEqual([
    ["1", "prompt of 1", undefined],
    ["2", "prompt of 2", undefined],
  ]);
});

it("shows a message once: before its run is known, before it is listed, and after", () => {
  expect(told([run("1")], [said("m", "hi")])).toEqual([
    ["1", "prompt of 1", undefined],
    ["m", "hi", undefined],
  ]);
  expect(told([run("1")], [said("m", "hi"), answer("2")])[1]).toEqual(["2", "hi", "2"]);
  expect(told([run("2"), run("1")], [said("m", "hi"), answer("2")])).toEqual([
    ["1", "prompt of 1", undefined],
    ["2", "prompt of 2", "2"],
  ]);
});

it("knows the question of an answer that this page did not ask", () => {
  expect(told([run("1")], [answer("1")])).toEqual([["1", "prompt of 1", "1"]]);
});
