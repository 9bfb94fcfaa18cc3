import { expect, it } from "vitest";
import { markOf } from "./mark";
import type { Chat } from "./queries";

const chat = (status: string | null, more: Partial<Chat> = {}) =>
  ({ run: status === null ? null : { status, finishedAt: null }, pendingRequests: 0, unread: false, ...more }) as Chat;
const ended = (status: string, unread: boolean) =>
  ({ run: { status, finishedAt: "2026-01-01T00:00:00Z" }, pendingRequests: 0, unread }) as Chat;

it("says what goes on", () => {
  expect(markOf(chat(null))).toBe("none");
  expect(markOf(chat("queued"))).toBe("queued");
  expect(markOf(chat("claimed"))).toBe("running");
  expect(markOf(chat("running"))).toBe("running");
  expect(markOf(chat("waiting_human", { pendingRequests: 1 }))).toBe("waiting");
});

it("waits for nobody once everything is answered", () => {
  expect(markOf(chat("waiting_human"))).toBe("running");
});

it("says that a run failed until that was seen", () => {
  expect([ended("failed", true), ended("blocked", true), ended("failed", false)].map(markOf)).toEqual(
    ["failed", "failed", "none"], // prettier-ignore
  );
  expect(markOf(ended("succeeded", true))).toBe("none");
});
