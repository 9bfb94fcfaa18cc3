import { describe, expect, it } from "vitest";
import { type ChatLog, type LoggedMessage, withEarlier, withNewest } from "./chat_log";

/** A chat of turns, each with so many parts; pages of it as the server gives them. */
const TURNS = [3, 0, 5, 2, 1];
type Place = readonly [turn: number, seq: number];

/** The page that holds a chat up to `turns`, of the last one `upTo` parts, from a place on. */
function page(from: Place, turns: number, upTo: number = TURNS[turns - 1] ?? 0): ChatLog {
  const messages = Array.from({ length: turns }, (_, turn) => turn).flatMap((turn): LoggedMessage[] => {
    const [first, firstSeq] = from;
    if (turn < first) return [];
    const begins = turn > first || firstSeq <= 1;
    const lastSeq = turn === turns - 1 ? upTo : (TURNS[turn] ?? 0);
    const begin = begins ? 1 : firstSeq;
    const parts = Array.from({ length: Math.max(0, lastSeq - begin + 1) }, (_each, at) => ({ seq: begin + at }));
    const about = { runId: `run_${turn}`, status: "", createdAt: "" };
    const metadata = { ...about, firstSeq: begin, lastSeq, begins, provider: "", attempt: 1, usage: {} };
    const said: LoggedMessage[] = begins
      ? [{ id: `run_${turn}_prompt`, role: "user", parts: [], metadata: about }]
      : [];
    return [...said, { id: `run_${turn}`, role: "assistant", parts, metadata }];
  });
  return { messages, earlier: from[0] === 0 && from[1] <= 1 ? null : JSON.stringify(from) };
}

const PLACES: Place[] = TURNS.flatMap((parts, turn) =>
  Array.from({ length: parts + 1 }, (_, seq): Place => [turn, seq]),
);
const before = ([turn, seq]: Place): number => turn * 100 + seq;

describe("a chat's log", () => {
  it("is the chat, wherever its pages are cut", () => {
    const whole = page([0, 0], TURNS.length);
    for (const cut of PLACES.filter(([turn, seq]) => turn > 0 || seq > 1)) {
      const [turn, seq] = cut;
      const older = seq > 1 ? page([0, 0], turn + 1, seq - 1) : page([0, 0], turn);
      expect(withEarlier(page(cut, TURNS.length), older)).toEqual(whole);
    }
  });

  it("takes in the newest page as far as it reaches, and keeps what was read before it", () => {
    for (const start of PLACES) {
      for (const newer of PLACES.filter((place) => before(place) >= before(start))) {
        const [turn, seq] = newer;
        const read = page(start, turn + 1, Math.max(seq, 1));
        expect(withNewest(read, page(newer, TURNS.length))).toEqual(page(start, TURNS.length));
      }
    }
  });

  it("begins anew where the newest page does not reach it", () => {
    const newest = page([4, 0], TURNS.length);
    expect(withNewest(page([0, 2], 2), newest)).toEqual(newest);
    expect(withNewest(undefined, newest)).toBe(newest);
  });
});
