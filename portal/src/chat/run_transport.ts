import type { ChatTransport } from "ai";
import { api } from "../api/client";
import { problemOf } from "../api/problem";
import { BlockFold } from "../events/block_fold";
import type { Block } from "../events/blocks";
import type { Envelope } from "../events/envelope";
import { tellTail } from "../events/live_tail";
import type { Chunk, Message } from "../events/message";
import { factsOf } from "../events/run_facts";
import { RunStream, type StreamWorld } from "../events/run_stream";
import { tellConnection } from "./connection";
import { forgetOutputs, takeOutputs } from "./tool_outputs";

/** A place in a run's log from which it is followed, and what was begun before it and not finished. */
export interface Place {
  readonly runId: string;
  readonly from: number;
  readonly begun: readonly Block[];
}

/** The chat that a transport works for. */
export interface ChatSide {
  /** Starts a run for a message and returns where it is followed. `key` names the message: sent twice, it is one run. */
  start: (prompt: string, key: string) => Promise<Place>;
  /** The run at work, if there is one. */
  atWork: () => Promise<Place | null>;
  onEvents: (events: readonly Envelope[]) => void;
  /** The log that was followed is not the one that was read: all of it has to be read again. */
  onReset: () => void;
}

let open: RunStream | undefined;

/** Ends the live stream, for another to take its place. The run goes on. */
export function leaveStream(): void {
  open?.close();
}

/**
 * useChat's way to the server: a message starts a run, and the answer is the run's log as it grows. There is one live stream in a
 * tab, whichever chat it is of: browsers allow few connections to one host.
 */
export class RunTransport implements ChatTransport<Message> {
  readonly resumeStreamIsReplay = true;

  constructor(private readonly side: ChatSide) {}

  async sendMessages({
    messages,
    abortSignal,
  }: Parameters<ChatTransport<Message>["sendMessages"]>[0]): Promise<ReadableStream<Chunk>> {
    const sent = messages.at(-1);
    const prompt = sent?.parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n") ?? "";
    return this.#follow(await this.side.start(prompt, sent?.id ?? ""), abortSignal);
  }

  async reconnectToStream(): Promise<ReadableStream<Chunk> | null> {
    const place = await this.side.atWork();
    return place && this.#follow(place);
  }

  #follow({ runId, from, begun }: Place, abortSignal?: AbortSignal): ReadableStream<Chunk> {
    const fold = new BlockFold(begun);
    const { onEvents, onReset } = this.side;
    let stream: RunStream | undefined;
    return new ReadableStream<Chunk>({
      start(controller) {
        open?.close();
        forgetOutputs();
        controller.enqueue({ type: "start", messageId: runId, messageMetadata: { runId, from, upTo: from } });
        stream = open = new RunStream(
          runId,
          from,
          {
            onEvents: (events) => {
              takeOutputs(events);
              tellTail(runId, events);
              for (const data of fold.add(events)) controller.enqueue({ type: "data-block", id: data.key, data });
              controller.enqueue({ type: "message-metadata", messageMetadata: factsOf(events) });
              tellConnection({ seq: events.at(-1)?.seq ?? 0 });
              onEvents(events);
            },
            onReset: () => {
              stream?.close();
              onReset();
            },
            onState: (state) => {
              tellConnection({ state });
              if (state === "ended") controller.close();
            },
          },
          browser,
        );
        abortSignal?.addEventListener("abort", () => stream?.close());
      },
      cancel: () => stream?.close(),
    });
  }
}

const browser: StreamWorld = {
  connect: (path) => new WebSocket(new URL(path, window.location.href.replace(/^http/, "ws"))),
  isOnline: () => navigator.onLine,
  random: Math.random,
  mayFollow: async (runId) => {
    try {
      const { response } = await api.GET("/api/runs/{run_id}/events", {
        params: { path: { run_id: runId }, query: { limit: 1 } },
      });
      return response.ok || response.status >= 500 || response.status === 429;
    } catch (thrown) {
      return problemOf(thrown).status === 0; // nobody answers: the server will be back
    }
  },
};
