import { expect, it } from "vitest";
import type { Chat } from "./queries";
import { rowsOf } from "./rows";

const chat = (chatId: string, updatedAt: string) => ({ chatId, updatedAt }) as Chat;
const now = new Date("2026-03-10T09:00:00Z"); // a Tuesday
const told = (chats: Chat[], language: string, timeZone: string) =>
  rowsOf(chats, language, { now, timeZone }).map((row) => ("chat" in row ? row.chat.chatId : row.heading));

const chats = [
  chat("a", "2026-03-10T08:00:00Z"),
  chat("b", "2026-03-09T23:30:00Z"),
  chat("c", "2026-03-09T03:00:00Z"),
  chat("d", "2026-03-07T12:00:00Z"),
  chat("e", "2026-03-02T12:00:00Z"),
  chat("f", "2025-12-24T12:00:00Z"),
];

it("groups by the days of the reader's time zone", () => {
  expect(told(chats, "en", "UTC")).toEqual(
    ["Today", "a", "Yesterday", "b", "c", "Saturday", "d", "March 2026", "e", "December 2025", "f"], // prettier-ignore
  );
  expect(told(chats.slice(0, 3), "en", "Asia/Shanghai")).toEqual(["Today", "a", "b", "Yesterday", "c"]);
  expect(told(chats.slice(0, 3), "en", "America/Los_Angeles")).toEqual(["Today", "a", "Yesterday", "b", "Sunday", "c"]);
});

it("names them in the reader's language", () => {
  expect(told(chats, "zh-CN", "UTC").filter((each) => each.length > 1)).toEqual(
    ["今天", "昨天", "星期六", "2026年3月", "2025年12月"], // prettier-ignore
  );
});

it("takes the day on which clocks change for one day", () => {
  const after = new Date("2026-03-30T00:30:00+02:00");
  const before = chat("x", "2026-03-28T23:30:00+01:00");
  const rows = rowsOf([before], "en", { now: after, timeZone: "Europe/Berlin" });
  expect(rows[0]).toEqual({ heading: "Saturday" });
  expect(rowsOf([chat("y", "2026-03-29T00:10:00+01:00")], "en", { now: after, timeZone: "Europe/Berlin" })[0]).toEqual({
    heading: "Yesterday",
  });
});

it("takes what a faster clock says of tomorrow for today", () => {
  expect(told([chat("a", "2026-03-11T00:00:01Z")], "en", "UTC")).toEqual(["Today", "a"]);
});

it("shows a chat once that moved from one page to another", () => {
  expect(told([...chats.slice(0, 1), ...chats.slice(0, 2)], "en", "UTC")).toEqual(["Today", "a", "Yesterday", "b"]);
});
