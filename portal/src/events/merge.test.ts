import { expect, it } from "vitest";
import { merge } from "./merge";

it("joins neighbouring pieces of one text and nothing else", () => {
  expect(
    merge([
      { type: "text-delta", id: "a", delta: "1" },
      { type: "text-delta", id: "a", delta: "2" },
      { type: "text-delta", id: "b", delta: "3" },
      { type: "reasoning-delta", id: "b", delta: "4" },
      { type: "text-end", id: "b" },
      { type: "text-delta", id: "b", delta: "5" },
    ]),
  ).toEqual([
    { type: "text-delta", id: "a", delta: "12" },
    { type: "text-delta", id: "b", delta: "3" },
    { type: "reasoning-delta", id: "b", delta: "4" },
    { type: "text-end", id: "b" },
    { type: "text-delta", id: "b", delta: "5" },
  ]);
});
