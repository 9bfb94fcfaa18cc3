import type { DataUIPart, DynamicToolUIPart } from "ai";
import type { Envelope } from "./envelope";
import type { Chunk, Facts, Part } from "./message";
import { UiMessageStream } from "./ui_message_stream";

/**
 * Returns the parts of an answer from (a stretch of) a run's log: for what was read from the server, as useChat makes them of what
 * streams in. A test holds the two together.
 */
export function partsOf(events: readonly Envelope[]): Part[] {
  const projection = new UiMessageStream();
  const fold = new Fold();
  for (const event of events) for (const chunk of projection.project(event)) fold.add(chunk);
  return fold.parts;
}

class Fold {
  readonly parts: Part[] = [];
  readonly #places = new Map<string, number>();

  add(chunk: Chunk): void {
    switch (chunk.type) {
      case "text-start":
        this.#place(`text:${chunk.id}`, { type: "text", text: "", state: "streaming" });
        break;
      case "reasoning-start":
        this.#place(`text:${chunk.id}`, { type: "reasoning", id: chunk.id, text: "", state: "streaming" });
        break;
      case "text-delta":
      case "reasoning-delta":
        this.#text(chunk.id, chunk.delta, "streaming");
        break;
      case "text-end":
      case "reasoning-end":
        this.#text(chunk.id, "", "done");
        break;
      case "tool-input-available":
        this.#place(`tool:${chunk.toolCallId}`, toolPart(chunk));
        break;
      case "tool-output-available":
        this.#change(chunk.toolCallId, { state: "output-available", output: chunk.output });
        break;
      case "tool-output-error":
        this.#change(chunk.toolCallId, { state: "output-error", errorText: chunk.errorText });
        break;
      case "tool-output-denied":
        this.#change(chunk.toolCallId, { state: "output-denied" });
        break;
      case "tool-approval-request":
        this.#change(chunk.toolCallId, { state: "approval-requested", approval: { id: chunk.approvalId } });
        break;
      case "start-step":
        this.parts.push({ type: "step-start" });
        break;
      default:
        if (isFact(chunk) && chunk.transient !== true) this.#fact(chunk);
    }
  }

  #place(key: string, part: Part): void {
    this.#places.set(key, this.parts.length);
    this.parts.push(part);
  }

  #text(id: string, more: string, state: "streaming" | "done"): void {
    const place = this.#places.get(`text:${id}`);
    const part = place === undefined ? undefined : this.parts[place];
    if (place === undefined || (part?.type !== "text" && part?.type !== "reasoning")) return;
    this.parts[place] = { ...part, text: part.text + more, state };
  }

  #change(toolCallId: string, change: Partial<DynamicToolUIPart>): void {
    const place = this.#places.get(`tool:${toolCallId}`);
    if (place === undefined) return;
    this.parts[place] = { ...this.parts[place], ...change } as DynamicToolUIPart; // a union cannot see that the fields fit the state
  }

  #fact(chunk: DataUIPart<Facts>): void {
    const part: DataUIPart<Facts> = {
      type: chunk.type,
      data: chunk.data,
      ...(chunk.id !== undefined && { id: chunk.id }),
    };
    const key = `fact:${chunk.type}:${chunk.id ?? ""}`;
    const place = chunk.id === undefined ? undefined : this.#places.get(key);
    if (place === undefined) this.#place(key, part);
    else this.parts[place] = part;
  }
}

function toolPart(chunk: Extract<Chunk, { type: "tool-input-available" }>): Part {
  const { toolCallId, toolName, input, providerMetadata } = chunk;
  return {
    type: "dynamic-tool",
    toolCallId,
    toolName,
    state: "input-available",
    input,
    ...(providerMetadata && { callProviderMetadata: providerMetadata }),
  };
}

function isFact(chunk: Chunk): chunk is Chunk & DataUIPart<Facts> & { transient?: boolean } {
  return chunk.type.startsWith("data-");
}
