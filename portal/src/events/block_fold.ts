import { type AskBlock, type Block, type Facts, outputOf, textOf, type TextBlock, type ToolBlock } from "./blocks";
import type { Envelope } from "./envelope";
import { isNote } from "./telling";

/**
 * Events of one run in their order, and the blocks that they make or change. It may begin in the middle of a log: `begun` are the
 * blocks that were still open there.
 */
export class BlockFold {
  readonly #texts = new Map<string, TextBlock>();
  readonly #tools = new Map<string, ToolBlock>();
  readonly #asks = new Map<string, AskBlock>();
  #changed = new Map<string, Block>();

  constructor(begun: readonly Block[] = []) {
    for (const block of begun) {
      if (block.kind === "tool" && block.status === "running") this.#tools.set(block.key, block);
      if (block.kind === "ask" && !block.resolved) this.#asks.set(block.key, block);
    }
  }

  /** Returns the blocks that these events made or changed, each once, in the order in which they came to be. */
  add(events: readonly Envelope[]): readonly Block[] {
    this.#changed = new Map();
    for (const event of events) this.#take(event);
    return [...this.#changed.values()];
  }

  #take(event: Envelope): void {
    const { type, data } = event;
    switch (type) {
      case "message.delta":
      case "thinking.delta":
        this.#grow(event);
        break;
      case "message.stop":
      case "thinking.stop":
        this.#stop(event);
        break;
      case "tool.call":
        this.#put(this.#tools, String(data["toolCallId"]), toolOf(event));
        break;
      case "tool.result":
        this.#finish(event);
        break;
      case "human_loop.requested":
        this.#put(this.#asks, String(data["requestId"]), {
          ...placed(event, String(data["requestId"])),
          kind: "ask",
          asked: data,
        });
        break;
      case "human_loop.resolved":
        this.#resolve(event);
        break;
      default:
        if (type === "run.started" || type === "run.finished") this.#interrupt(event);
        if (isNote(type, data, event.attempt)) this.#note(event);
    }
  }

  #grow(event: Envelope): void {
    const [id, kind] = textId(event);
    const known = this.#texts.get(id);
    const text = textOf(event.data, "text");
    this.#put(this.#texts, id, {
      ...(known ?? { ...placed(event, `${kind}:${event.seq}`), kind, isCut: false }),
      text: (known?.text ?? "") + text,
      isGrowing: true,
    });
  }

  #stop(event: Envelope): void {
    const [id, kind] = textId(event);
    const begun = this.#texts.get(id) ?? { ...placed(event, `${kind}:${event.seq}`), kind };
    const text = textOf(event.data, "text");
    this.#put(this.#texts, id, {
      ...begun,
      text,
      seq: event.seq,
      isGrowing: false,
      ...(event.data["role"] === "user" && { isOfPerson: true }),
      isCut: event.data["truncated"] === true,
    });
    this.#texts.delete(id);
  }

  #finish(event: Envelope): void {
    const id = String(event.data["toolCallId"]);
    const call = this.#tools.get(id);
    if (!call) {
      this.#note(event);
      return;
    }
    this.#put(this.#tools, id, { ...call, ...resultOf(event.data), endedAt: event.ts });
    this.#tools.delete(id);
  }

  #resolve(event: Envelope): void {
    const id = String(event.data["requestId"]);
    const ask = this.#asks.get(id);
    if (ask) this.#put(this.#asks, id, { ...ask, resolved: event.data });
    else this.#note(event);
  }

  /** A new attempt, and the end: what is open will not be finished. */
  #interrupt(event: Envelope): void {
    for (const [id, text] of this.#texts) this.#put(this.#texts, id, { ...text, isGrowing: false });
    for (const [id, call] of this.#tools) {
      this.#put(this.#tools, id, { ...call, status: "interrupted", endedAt: event.ts });
    }
    this.#texts.clear();
    this.#tools.clear();
  }

  #note(event: Envelope): void {
    const { type, data, seq, attempt } = event;
    const known = type === "context.restored" ? { attempt } : {};
    const block: Block = { ...placed(event, `event:${seq}`), kind: "note", type, data, ...known };
    this.#changed.set(block.key, block);
  }

  #put<T extends Block>(open: Map<string, T>, id: string, block: T): void {
    open.set(id, block);
    this.#changed.set(block.key, block);
  }
}

/** How a call ended, of the data of its result. */
export function resultOf(data: Facts): Pick<ToolBlock, "status" | "output"> & { blobId?: string } {
  const status = data["status"] === "error" || data["status"] === "denied" ? data["status"] : "ok";
  const blobId = textOf(data, "blobId");
  return { status, output: outputOf(data["output"]), ...(blobId !== "" && { blobId }) };
}

function toolOf(event: Envelope): ToolBlock {
  const { data } = event;
  const name = textOf(data, "name") || "tool";
  const parent = textOf(data, "parentToolCallId");
  return {
    ...placed(event, String(data["toolCallId"])),
    kind: "tool",
    name,
    does: textOf(data, "kind") || "other",
    title: textOf(data, "title") || name,
    input: data["input"] ?? null,
    status: "running",
    ...(parent !== "" && { parent }),
  };
}

/** A message and its thinking may share an id. */
function textId({ type, data }: Envelope): [string, TextBlock["kind"]] {
  const kind = type.startsWith("thinking.") ? "thinking" : "text";
  return [`${kind}:${String(data["messageId"])}`, kind];
}

function placed({ seq, ts }: Envelope, key: string): { key: string; seq: number; at: string } {
  return { key, seq, at: ts };
}
