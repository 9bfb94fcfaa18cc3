import type { Schemas } from "../api/client";
import { type Facts, textOf } from "./blocks";

type EventType = Schemas["RunEvent"]["type"];

/**
 * Where a person learns of an event: as part of what the agent says and does (`block`), as a note in the conversation, elsewhere on the
 * page (state, usage, plan, files), or nowhere but in the timeline, which shows every event.
 */
type Telling = "block" | "note" | "elsewhere";

const TELLINGS: Readonly<Record<EventType, Telling>> = {
  "run.status": "elsewhere",
  "run.started": "elsewhere",
  "context.restored": "note",
  "message.delta": "block",
  "message.stop": "block",
  "thinking.delta": "block",
  "thinking.stop": "block",
  "tool.call": "block",
  "tool.output": "block",
  "tool.result": "block",
  "todo.update": "elsewhere",
  "human_loop.requested": "block",
  "human_loop.resolved": "block",
  "usage.update": "elsewhere",
  "workspace.synced": "elsewhere",
  "workspace.sync_failed": "note",
  "run.warning": "note",
  "run.finished": "elsewhere",
  "run.closed": "elsewhere",
};
const known: ReadonlyMap<string, Telling> = new Map(Object.entries(TELLINGS));

/** True where an event is a note of its own; one of a type of tomorrow is. */
export function isNote(type: string, data: Facts, attempt: number): boolean {
  if (type === "context.restored") return !isUsualContext(textOf(data, "mode"), attempt);
  return (known.get(type) ?? "note") === "note";
}

/** That the first attempt knows what was said before goes without saying; each one more, and a memory that was lost, do not. */
function isUsualContext(mode: string, attempt: number): boolean {
  return attempt <= 1 && (mode === "fresh" || mode === "native_resume");
}
