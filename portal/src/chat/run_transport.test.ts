// @vitest-environment happy-dom
import { expect, it } from "vitest";
import type { Run } from "../api/queries";
import { runAtWork } from "./run_transport";

const run = (runId: string, status: string, finishedAt: string | null = null) => ({ runId, status, finishedAt }) as Run;

it("follows the run at work, else the next in line, never a finished one", () => {
  const done = run("1", "succeeded", "2026-01-01T00:00:00Z");
  expect(runAtWork([])).toBeUndefined();
  expect(runAtWork([done])).toBeUndefined();
  expect(runAtWork([run("4", "queued"), run("3", "queued"), run("2", "running"), done])?.runId).toBe("2");
  expect(runAtWork([run("4", "queued"), run("3", "queued"), done])?.runId).toBe("3");
});
