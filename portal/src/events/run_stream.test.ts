// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Envelope } from "./envelope";
import { RunStream, type StreamState } from "./run_stream";

class Socket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  closed = false;

  constructor(readonly path: string) {}

  close(): void {
    this.closed = true;
  }

  say(...seqs: number[]): void {
    for (const seq of seqs) this.onmessage?.({ data: JSON.stringify({ seq, type: "message.delta", data: {} }) });
  }

  notice(type: string): void {
    this.onmessage?.({ data: JSON.stringify({ type }) });
  }

  break(code = 1006, opened = true): void {
    if (opened) this.onopen?.();
    this.onclose?.({ code });
  }
}

let sockets: Socket[];
let seen: number[];
let states: StreamState[];
let resets: number;
let online: boolean;
let allowed: boolean;

let streams: RunStream[] = [];

function follow(cursor = 0): RunStream {
  const stream = new RunStream(
    "run_1",
    cursor,
    {
      onEvents: (events: readonly Envelope[]) => seen.push(...events.map((event) => event.seq)),
      onState: (state) => states.push(state),
      onReset: () => (resets += 1),
    },
    {
      connect: (path) => {
        const socket = new Socket(path);
        sockets.push(socket);
        return socket as unknown as WebSocket;
      },
      isOnline: () => online,
      mayFollow: () => Promise.resolve(allowed),
      random: () => 1,
    },
  );
  streams.push(stream);
  return stream;
}

afterEach(() => {
  for (const stream of streams) stream.close();
  streams = [];
});

const last = (): Socket => sockets.at(-1)!;

beforeEach(() => {
  vi.useFakeTimers();
  [sockets, seen, states, resets, online, allowed] = [[], [], [], 0, true, true];
});

describe("a run's stream", () => {
  it("gathers what comes in a burst and tells it in order", () => {
    follow();
    last().say(1, 2, 3);
    expect(seen).toEqual([]);
    vi.advanceTimersByTime(50);
    expect(seen).toEqual([1, 2, 3]);
    expect(states).toEqual(["connecting", "live"]);
  });

  it("comes back with its cursor, and drops what it has", async () => {
    follow(4);
    expect(last().path).toBe("/ws/runs/run_1?cursor=4");
    last().say(5, 6);
    last().break();
    await vi.advanceTimersByTimeAsync(0);
    expect(last().path).toBe("/ws/runs/run_1?cursor=6");
    last().say(5, 6, 7);
    vi.advanceTimersByTime(50);
    expect(seen).toEqual([5, 6, 7]);
    expect(states).toEqual(["connecting", "live", "reconnecting", "live"]);
  });

  it("asks again where something is missing", () => {
    follow();
    last().say(1, 3);
    expect(sockets).toHaveLength(2);
    expect(last().path).toBe("/ws/runs/run_1?cursor=1");
    last().say(2, 3);
    vi.advanceTimersByTime(50);
    expect(seen).toEqual([1, 2, 3]);
  });

  it("waits longer after each refusal, ten seconds at most", async () => {
    follow();
    for (const wait of [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]) {
      const before = sockets.length;
      last().break(1006, false);
      await vi.advanceTimersByTimeAsync(wait - 1);
      expect(sockets).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(sockets).toHaveLength(before + 1);
    }
  });

  it("takes silence for a dead connection, and a heartbeat for life", async () => {
    follow();
    last().say(1);
    for (let beats = 0; beats < 4; beats += 1) {
      await vi.advanceTimersByTimeAsync(15_000);
      last().notice("heartbeat");
    }
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(40_000);
    expect(sockets).toHaveLength(2);
    expect(sockets[0]?.closed).toBe(true);
  });

  it("takes a machine that slept for silence, once it wakes", async () => {
    follow();
    last().say(1);
    vi.setSystemTime(Date.now() + 60_000); // timers stand still meanwhile
    await vi.advanceTimersByTimeAsync(5000);
    expect(sockets).toHaveLength(2);
    expect(last().path).toContain("cursor=1");
    last().say(2);
    vi.setSystemTime(Date.now() + 60_000);
    document.dispatchEvent(new Event("visibilitychange"));
    expect(sockets).toHaveLength(3);
  });

  it("begins anew after a reset", () => {
    follow(9);
    last().notice("reset");
    last().say(1, 2);
    vi.advanceTimersByTime(50);
    expect(resets).toBe(1);
    expect(seen).toEqual([1, 2]);
  });

  it("tells what it gathered before it ends with the log", () => {
    follow();
    last().say(1, 2);
    last().break(1000);
    expect(seen).toEqual([1, 2]);
    expect(states.at(-1)).toBe("ended");
    vi.advanceTimersByTime(60_000);
    expect(sockets).toHaveLength(1);
  });

  it("ends where it may not follow any more", async () => {
    allowed = false;
    follow();
    last().break(1006, false);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sockets).toHaveLength(1);
    expect(states.at(-1)).toBe("ended");
  });

  it("says offline, and is back at once with the network", () => {
    follow();
    last().say(1);
    online = false;
    window.dispatchEvent(new Event("offline"));
    expect(states.at(-1)).toBe("offline");
    online = true;
    window.dispatchEvent(new Event("online"));
    expect(sockets).toHaveLength(2);
  });

  it("tells nothing after it was closed", () => {
    const stream = follow();
    const socket = last();
    stream.close();
    socket.say(1);
    window.dispatchEvent(new Event("online"));
    vi.advanceTimersByTime(60_000);
    expect(seen).toEqual([]);
    expect(socket.closed).toBe(true);
    expect(sockets).toHaveLength(1);
  });
});
