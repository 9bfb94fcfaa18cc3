import { expect, it } from "vitest";
import { type EndRow, type Row, stepFrom } from "./rows";

const said = (key: string): Row => ({ kind: "prompt", key, runId: "r", text: key });
const end = (key: string, status: string): EndRow => {
  const run = { runId: "r", status, usage: {}, finishedAt: status === "running" ? null : "then" } as EndRow["run"];
  return { kind: "end", key, runId: "r", run, prompt: undefined, answer: "", isLast: false };
};
const rows = [said("0"), end("1", "succeeded"), said("2"), end("3", "failed"), said("4"), end("5", "running")];

it("goes from what was said to what was said next, and to how a run failed", () => {
  expect([0, 2, 3, 4].map((from) => stepFrom(rows, from, 1))).toEqual([2, 3, 4, 4]);
  expect([4, 3, 2, 0].map((from) => stepFrom(rows, from, -1))).toEqual([3, 2, 0, 0]);
});

it("comes to the last that says something from beyond the end", () => {
  expect(stepFrom(rows, rows.length, -1)).toBe(4);
  expect(stepFrom([], 0, 1)).toBe(0);
});
