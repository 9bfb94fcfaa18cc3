import type { ChatTransport } from "ai";
import { answered, api, keyed } from "../api/client";
import { problemOf } from "../api/problem";
import type { Run } from "../api/queries";
import { merge } from "../events/merge";
import type { Chunk, Message } from "../events/message";
import { RunStream, type StreamWorld } from "../events/run_stream";
import { UiMessageStream } from "../events/ui_message_stream";
import { tellConnection } from "./connection";

/** Events of a run at work that stream in again when its chat is opened; what came before is read from its log, page by page. */
const TAIL = 400;

let open: RunStream | undefined;

/**
 * useChat's way to the server: a message starts a run, and the answer is the run's log as it grows. There is one live stream in a
 * tab, whichever chat it is of: browsers allow few connections to one host.
 */
export class RunTransport implements ChatTransport<Message> {
  readonly resumeStreamIsReplay = true;

  /** `onStarted` is told of each run that a message started. */
  constructor(private readonly onStarted: (run: Run) => void) {}

  async sendMessages({
    chatId,
    messages,
    abortSignal,
  }: Parameters<ChatTransport<Message>["sendMessages"]>[0]): Promise<ReadableStream<Chunk>> {
    const sent = messages.at(-1);
    const prompt = sent?.parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n") ?? "";
    const { header } = keyed(sent?.id); // sent twice, it is one run
    const run = await answered(
      api.POST("/api/runs/start", {
        params: { header },
        headers: { Prefer: "respond-async" },
        body: { sessionId: chatId, prompt },
      }),
    );
    this.onStarted(run);
    return follow(run.runId, 0, abortSignal);
  }

  async reconnectToStream({
    chatId,
  }: Parameters<ChatTransport<Message>["reconnectToStream"]>[0]): Promise<ReadableStream<Chunk> | null> {
    const page = await answered(api.GET("/api/runs", { params: { query: { sessionId: chatId, limit: 100 } } }));
    const run = runAtWork(page.items);
    return run ? follow(run.runId, Math.max(0, run.lastSeq - TAIL)) : null;
  }
}

/** Of runs, the newest first: the one at work, else the next in line. */
export function runAtWork(runs: readonly Run[]): Run | undefined {
  const unfinished = runs.filter((run) => run.finishedAt == null);
  return unfinished.findLast((run) => run.status !== "queued") ?? unfinished.at(-1);
}

function follow(runId: string, from: number, abortSignal?: AbortSignal): ReadableStream<Chunk> {
  const begin: Chunk = { type: "start", messageId: runId, messageMetadata: { runId, from } };
  let stream: RunStream | undefined;
  return new ReadableStream<Chunk>({
    start(controller) {
      controller.enqueue(begin);
      open?.close();
      let projection = new UiMessageStream();
      stream = open = new RunStream(
        runId,
        from,
        {
          onEvents: (events) => {
            const chunks = merge(events.flatMap((event) => projection.project(event)));
            for (const chunk of chunks) if (chunk.type !== "start" && chunk.type !== "error") controller.enqueue(chunk);
            tellConnection({ seq: events.at(-1)?.seq ?? 0 });
          },
          onReset: () => {
            projection = new UiMessageStream();
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
