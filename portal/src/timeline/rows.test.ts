import { expect, it } from "vitest";
import type { Envelope } from "../events/envelope";
import type { LogPage } from "./queries";
import { eventsOf, lineOf } from "./rows";

const event = (seq: number, type = "message.delta") => ({ seq, type, data: {} }) as unknown as Envelope;
const page = (seqs: number[], after: string | null): LogPage => ({
  events: seqs.map((seq) => event(seq)),
  before: null,
  after: after === null ? null : { cursor: after },
});
const seqs = (pages: LogPage[], tail: Envelope[], types = "") =>
  eventsOf(pages, tail, types).events.map(({ seq }) => seq);

it("adds what streamed in behind the pages, each once", () => {
  expect(seqs([page([1, 2], "2"), page([3], "3")], [event(2), event(3), event(4), event(5)])).toEqual([1, 2, 3, 4, 5]);
});

it("does not jump over what was not read", () => {
  expect(eventsOf([page([1, 2], "2")], [event(9)], "")).toMatchObject({ isJoined: false });
  expect(seqs([page([1, 2], "2")], [event(9)])).toEqual([1, 2]);
  expect(seqs([], [event(1)])).toEqual([]);
});

it("takes of the stream what is wanted, also where the last wanted event is long ago", () => {
  expect(seqs([page([2], "7")], [event(8), event(9, "tool.call")], "tool.call,tool.result")).toEqual([2, 9]);
});

it("says something of every event, also of types of tomorrow", () => {
  const line = (data: object) => lineOf({ data } as Envelope);
  expect(line({ title: "Write\n a.txt", status: "ok" })).toBe("Write a.txt");
  expect(line({ is: "shown" })).toBe('{"is":"shown"}');
  expect(line({})).toBe("");
  expect(line({ text: "x".repeat(500) })).toHaveLength(160);
});
