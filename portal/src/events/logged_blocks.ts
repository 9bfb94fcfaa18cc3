import { type Block, type Facts, outputOf, textOf, type ToolBlock, type ToolStatus } from "./blocks";
import { isNote } from "./telling";

/** What a tool part's states of the server's messages (AI SDK's) are here. */
const STATUSES: Readonly<Record<string, ToolStatus>> = {
  "input-available": "running",
  "output-available": "ok",
  "output-error": "error",
  "output-denied": "denied",
};

/** The events that such parts are of. */
const NOTES: Readonly<Record<string, string>> = {
  "data-run-warning": "run.warning",
  "data-context-restored": "context.restored",
  "data-workspace-sync-failed": "workspace.sync_failed",
};

/** Returns the blocks of a message's parts as the server tells them (web/projections/messages.py). */
export function blocksOf(parts: readonly Facts[]): readonly Block[] {
  const blocks: Block[] = [];
  const asks = new Map<string, number>();
  for (const part of parts) {
    const block = blockOf(part);
    if (block.kind === "note" && !isNote(block.type, block.data, block.attempt ?? 1)) continue;
    const asked = part["type"] === "data-human-loop-resolved" ? asks.get(textOf(part, "id")) : undefined;
    const before = asked === undefined ? undefined : blocks[asked];
    if (asked !== undefined && before?.kind === "ask") blocks[asked] = { ...before, resolved: part["data"] as Facts };
    else {
      if (block.kind === "ask") asks.set(block.key, blocks.length);
      blocks.push(block);
    }
  }
  return blocks;
}

function blockOf(part: Facts): Block {
  const type = textOf(part, "type");
  const seq = Number(part["seq"] ?? 0);
  const at = textOf(part, "ts");
  if (type === "text" || type === "reasoning") {
    const kind = type === "text" ? "text" : "thinking";
    const isCut = part["truncated"] === true;
    return { key: `${kind}:${seq}`, seq, at, kind, text: textOf(part, "text"), isGrowing: false, isCut };
  }
  if (type === "dynamic-tool") return toolOf(part, seq, at);
  const data = (part["data"] ?? {}) as Facts;
  if (type === "data-user-message") {
    const said = { isOfPerson: true, isGrowing: false, isCut: false };
    return { key: `text:${seq}`, seq, at, kind: "text", text: textOf(data, "text"), ...said };
  }
  if (type === "data-human-loop-requested") return { key: textOf(part, "id"), seq, at, kind: "ask", asked: data };
  const attempt = part["attempt"];
  const known = typeof attempt === "number" ? { attempt } : {};
  return { key: `event:${seq}`, seq, at, kind: "note", type: NOTES[type] ?? type, data, ...known };
}

function toolOf(part: Facts, seq: number, at: string): ToolBlock {
  const name = textOf(part, "toolName");
  const [parent, blobId, endedAt] = [textOf(part, "parentToolCallId"), textOf(part, "blobId"), textOf(part, "endedAt")];
  const output = outputOf(part["output"] ?? part["errorText"]);
  const status = part["interrupted"] === true ? "interrupted" : (STATUSES[textOf(part, "state")] ?? "ok");
  return {
    key: textOf(part, "toolCallId"),
    seq,
    at,
    kind: "tool",
    name,
    does: textOf(part, "kind") || "other",
    title: textOf(part, "title") || name,
    input: part["input"] ?? null,
    status,
    ...(parent !== "" && { parent }),
    ...(status !== "running" && status !== "interrupted" && { output }),
    ...(blobId !== "" && { blobId }),
    ...(endedAt !== "" && { endedAt }),
  };
}
