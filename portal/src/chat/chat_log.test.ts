import { describe, expect, it } from "vitest";
import {
  type ChatLog,
  type ChatPage,
  earliest,
  type LoggedMessage,
  stretchesOf,
  withNewest,
  withPage,
} from "./chat_log";

/** A chat of turns, each with so many parts; pages of it as the server gives them. */
const TURNS = [3, 0, 5, 2, 1];
type Place = readonly [turn: number, seq: number];

/** The page that holds a chat up to `turns`, of the last one `upTo` parts, from a place on. */
function page(from: Place, turns: number, upTo: number = TURNS[turns - 1] ?? 0): ChatPage {
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

const logOf = (newest: ChatPage): ChatLog => ({ newest, before: [] });

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
      const newest = page(cut, TURNS.length);
      expect(stretchesOf(withPage(logOf(newest), newest.earlier ?? "", older))).toEqual([whole]);
    }
  });

  it("takes in the newest page as far as it reaches, and keeps what was read before it", () => {
    for (const start of PLACES) {
      for (const newer of PLACES.filter((place) => before(place) >= before(start))) {
        const [turn, seq] = newer;
        const read = page(start, turn + 1, Math.max(seq, 1));
        const now = withNewest(logOf(read), page(newer, TURNS.length));
        expect(now).toEqual(logOf(page(start, TURNS.length)));
      }
    }
  });

  it("begins anew where the newest page does not reach it", () => {
    const newest = page([4, 0], TURNS.length);
    expect(withNewest(logOf(page([0, 2], 2)), newest)).toEqual(logOf(newest));
    expect(withNewest(undefined, newest)).toEqual(logOf(newest));
  });
});

describe("a chat that is longer than what is kept of it", () => {
  const COUNT = 30;
  /** Page n of the chat, counted from its newest: one question each, read before the cursor `n`. */
  const one = (n: number): ChatPage => ({
    messages: [{ id: `p${n}`, role: "user", parts: [{}], metadata: { runId: `run_${n}`, status: "", createdAt: "" } }],
    earlier: n === COUNT - 1 ? null : String(n + 1),
  });
  const there = (log: ChatLog) =>
    stretchesOf(log).flatMap((each) =>
      "messages" in each ? each.messages.map(({ id }) => id) : [`gap ${each.before}`],
    );
  const toTop = () => {
    let log = withNewest(undefined, one(0));
    for (let cursor = earliest(log); cursor !== null; cursor = earliest(log)) {
      log = withPage(log, cursor, one(Number(cursor)));
    }
    return log;
  };
  const ids = (from: number, to: number, name: string) =>
    Array.from({ length: from - to + 1 }, (_, at) => `${name}${from - at}`);

  it("keeps what one reads and the newest, with gaps for the rest", () => {
    expect(there(toTop())).toEqual([...ids(29, 22, "p"), ...ids(21, 1, "gap "), "p0"]);
  });

  it("is read again where one goes back to", () => {
    let log = toTop();
    for (let n = 1; n < COUNT; n += 1) {
      if (there(log).includes(`gap ${n}`)) log = withPage(log, String(n), one(n));
      expect(there(log)).toContain(`p${n}`);
      expect(there(log).filter((each) => each.startsWith("p")).length).toBeLessThanOrEqual(9);
      expect(there(log)).toHaveLength(COUNT);
    }
    expect(earliest(log)).toBeNull();
  });

  it("lets go of what was cut elsewhere when it was read first, and of pages of a log that is no more", () => {
    const log = toTop();
    expect(there(withPage(log, "5", { ...one(5), earlier: "5.5" }))).toEqual(["p0"]);
    const anew = withNewest(undefined, one(0));
    expect(withPage(anew, "7", one(7))).toBe(anew);
  });
});
