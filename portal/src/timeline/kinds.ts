/** What the timeline can be narrowed to: kinds of events as people think of them, and the types that they are. */
export const KINDS = {
  all: [],
  messages: ["message.stop", "thinking.stop"],
  tools: ["tool.call", "tool.result"],
  people: ["human_loop.requested", "human_loop.resolved"],
  todos: ["todo.update"],
  files: ["workspace.synced", "workspace.sync_failed"],
  state: ["run.status", "run.started", "context.restored", "run.finished", "run.closed"],
  usage: ["usage.update"],
  warnings: ["run.warning"],
} as const satisfies Record<string, readonly string[]>;

export type Kind = keyof typeof KINDS;

export const KIND_NAMES = Object.keys(KINDS) as Kind[];

/** Returns the types of a kind as the API takes them; none for all. */
export function typesOf(kind: Kind): string {
  return KINDS[kind].join(",");
}
