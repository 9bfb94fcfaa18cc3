import { expect, it } from "vitest";
import type { Run } from "../api/queries";
import type { Envelope } from "../events/envelope";
import { sumOf, usageOf } from "./session_usage";

const run = (finishedAt: string | null) => ({ usage: { input: 1 }, finishedAt }) as unknown as Run;
const told = { type: "usage.update", data: { input: 5 } } as unknown as Envelope;

it("takes what the stream told last while the run is at work", () => {
  expect(usageOf(run(null), [told, { type: "message.stop", data: {} } as unknown as Envelope])).toEqual({ input: 5 });
  expect(usageOf(run(null), [])).toEqual({ input: 1 });
  expect(usageOf(run("2026-01-01T00:00:00Z"), [told])).toEqual({ input: 1 });
});

it("adds up", () => {
  expect(
    sumOf([
      { input: 1, costUsd: 0.5 },
      { input: 2, output: 3 },
    ]),
  ).toEqual({ input: 3, output: 3, costUsd: 0.5 });
});
