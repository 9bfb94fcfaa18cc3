import { describe, expect, it } from "vitest";
import { type Asked, hintOf, resolutionOf } from "./asked";

const asked: Asked = { requestId: "hlr_1", kind: "approval", title: "?", createdAt: "2026-01-01T00:00:00.000Z" };
const at = (time: string) => new Date(`2026-01-01T${time}.000Z`);

describe("what a card says about time", () => {
  it("is a hint after five minutes, and not before", () => {
    expect(hintOf(asked, at("00:04:59")).says).toBe("asked");
    expect(hintOf(asked, at("00:05:00")).says).toBe("long");
  });

  it("is the deadline where there is one", () => {
    const until = { ...asked, deadlineAt: "2026-01-01T00:10:00.000Z" };
    expect(hintOf(until, at("00:09:59")).says).toBe("until");
    expect(hintOf(until, at("00:10:01"))).toEqual({ says: "overdue", deadline: until.deadlineAt });
  });

  it("counts how long the agent waits from when it asked", () => {
    const until = { ...asked, timeoutMs: 60_000 };
    expect(hintOf(until, at("00:00:59"))).toEqual({ says: "until", deadline: "2026-01-01T00:01:00.000Z" });
    expect(hintOf(until, at("00:01:01")).says).toBe("overdue");
  });
});

it("tells what was answered, whoever tells it", () => {
  expect(resolutionOf({ outcome: "answered", reply: { decision: "deny", message: "no" }, byName: "Bob" })).toEqual({
    outcome: "answered",
    decision: "deny",
    message: "no",
    byName: "Bob",
  });
  expect(resolutionOf({ outcome: "answered", reply: { answers: { q1: ["Blue"] } } })).toEqual({
    outcome: "answered",
    answers: { q1: ["Blue"] },
  });
  expect(resolutionOf({ outcome: "superseded" })).toEqual({ outcome: "superseded" });
});
