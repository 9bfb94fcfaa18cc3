import { type Envelope, type EventData, textOf } from "./envelope";
import type { Chunk } from "./message";

const INTERRUPTED = "The attempt was interrupted before this tool was done.";

type Kind = "text" | "reasoning";

/**
 * One reader's projection of a run's log to AI SDK's chunks: the table of web/projections/ui_message.py, held to it by recorded
 * runs. Feed it events in order. It may begin in the middle of a log: what was begun before is then begun anew.
 */
export class UiMessageStream {
  #started = false;
  #inStep = false;
  readonly #texts = new Map<string, Kind>();
  readonly #tools = new Set<string>();

  readonly #table: Record<string, (data: EventData) => Chunk[]> = {
    "run.started": (data) => this.#runStarted(data),
    "message.delta": (data) => this.#delta("text", data),
    "message.stop": (data) => this.#stop("text", data),
    "thinking.delta": (data) => this.#delta("reasoning", data),
    "thinking.stop": (data) => this.#stop("reasoning", data),
    "tool.call": (data) => this.#toolCall(data),
    "tool.output": (data) => [{ ...fact("tool.output", data), transient: true }],
    "tool.result": (data) => this.#toolResult(data),
    "todo.update": (data) => [fact("todo.update", data, "todos")],
    "usage.update": (data) => [fact("usage.update", data, "usage")],
    "run.status": (data) => [fact("run.status", data, "status")],
    "human_loop.requested": (data) => this.#requested(data),
    "human_loop.resolved": (data) => [fact("human_loop.resolved", data, String(data["requestId"]))],
    "run.finished": (data) => this.#finished(data),
    "run.closed": () => [],
  };

  /** Returns the chunks of one event; a type that is not in the table is a `data-…` part of its own name. */
  project(event: Envelope): Chunk[] {
    const begin: Chunk[] = this.#started
      ? []
      : [{ type: "start", messageId: event.runId, messageMetadata: { runId: event.runId } }];
    this.#started = true;
    const make = Object.hasOwn(this.#table, event.type) ? this.#table[event.type] : undefined;
    return [...begin, ...(make ? make(event.data) : [fact(event.type, event.data)])];
  }

  #runStarted(data: EventData): Chunk[] {
    const chunks = this.#closeParts();
    if (this.#inStep) chunks.push({ type: "finish-step" });
    this.#inStep = true;
    return [...chunks, { type: "start-step" }, fact("run.started", data)];
  }

  #delta(kind: Kind, data: EventData): Chunk[] {
    const id = partId(kind, data);
    const begin: Chunk[] = this.#texts.has(id) ? [] : [{ type: `${kind}-start`, id }];
    this.#texts.set(id, kind);
    return [...begin, { type: `${kind}-delta`, id, delta: textOf(data, "text") }];
  }

  #stop(kind: Kind, data: EventData): Chunk[] {
    const id = partId(kind, data);
    const whole = this.#texts.has(id) ? [] : this.#delta(kind, data);
    this.#texts.delete(id);
    return [...whole, { type: `${kind}-end`, id }];
  }

  #toolCall(data: EventData): Chunk[] {
    const toolCallId = String(data["toolCallId"]);
    this.#tools.add(toolCallId);
    const about = Object.fromEntries(
      ["title", "kind", "parentToolCallId"].flatMap((name) => (textOf(data, name) ? [[name, textOf(data, name)]] : [])),
    );
    const toolName = textOf(data, "name") || "tool";
    return [
      {
        type: "tool-input-available",
        toolCallId,
        toolName,
        input: data["input"] ?? null,
        dynamic: true,
        ...(Object.keys(about).length > 0 && { providerMetadata: { paddock: about } }),
      },
    ];
  }

  #toolResult(data: EventData): Chunk[] {
    const toolCallId = String(data["toolCallId"]);
    if (!this.#tools.delete(toolCallId)) return [fact("tool.result", data)];
    if (data["status"] === "denied") return [{ type: "tool-output-denied", toolCallId }];
    if (data["status"] === "error") return [toolError(toolCallId, textOf(data, "output") || "The tool failed.")];
    return [{ type: "tool-output-available", toolCallId, output: data["output"] ?? null, dynamic: true }];
  }

  #requested(data: EventData): Chunk[] {
    const approvalId = String(data["requestId"]);
    const toolCallId = String(data["toolCallId"]);
    const asked = fact("human_loop.requested", data, approvalId);
    if (data["kind"] !== "approval" || !this.#tools.has(toolCallId)) return [asked];
    return [asked, { type: "tool-approval-request", approvalId, toolCallId }];
  }

  #finished(data: EventData): Chunk[] {
    const chunks = this.#closeParts();
    if (this.#inStep) chunks.push({ type: "finish-step" });
    this.#inStep = false;
    chunks.push(fact("run.finished", data));
    const status = data["status"];
    if (status === "canceled") chunks.push({ type: "abort" });
    else if (status !== "succeeded") {
      const told = textOf(data, "message") || textOf(data, "remedy") || textOf(data, "failureCode");
      chunks.push({ type: "error", errorText: told || "The run did not succeed." });
    }
    const known = ["status", "usage", "failureCode", "remedy"].flatMap((name) =>
      name in data ? [[name, data[name]]] : [],
    );
    return [...chunks, { type: "finish", messageMetadata: Object.fromEntries(known) as object }];
  }

  #closeParts(): Chunk[] {
    const texts = [...this.#texts].map(([id, kind]): Chunk => ({ type: `${kind}-end`, id }));
    const tools = [...this.#tools].sort().map((id) => toolError(id, INTERRUPTED));
    this.#texts.clear();
    this.#tools.clear();
    return [...texts, ...tools];
  }
}

/** A message and its thinking may share an id; parts may not. */
function partId(kind: Kind, data: EventData): string {
  const message = String(data["messageId"]);
  return kind === "text" ? message : `${message}:${kind}`;
}

function toolError(toolCallId: string, errorText: string): Chunk {
  return { type: "tool-output-error", toolCallId, errorText, dynamic: true };
}

/** A `data-…` part; a later one with the same `id` takes its place at the reader's. */
function fact(eventType: string, data: EventData, id?: string): Chunk & { type: `data-${string}` } {
  return { type: `data-${eventType.replaceAll(/[._]/g, "-")}`, ...(id !== undefined && { id }), data: { ...data } };
}
