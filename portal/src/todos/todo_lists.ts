import type { Envelope } from "../events/envelope";

export type TodoStatus = "pending" | "in_progress" | "completed";

export interface Todo {
  readonly id: string;
  readonly content: string;
  readonly status: TodoStatus;
}

/** One change of the list: what is new in it, what changed its state, what is gone. */
export interface TodoChange {
  readonly seq: number;
  readonly at: string;
  readonly items: readonly { readonly content: string; readonly what: TodoStatus | "removed" }[];
}

export function todosOf(event: Envelope | undefined): readonly Todo[] {
  const todos = event?.data["todos"];
  return Array.isArray(todos) ? todos.flatMap(todoOf) : [];
}

/** Returns how the list changed, the newest first. Each event holds the whole list. */
export function changesOf(events: readonly Envelope[]): readonly TodoChange[] {
  return events
    .map((event, place): TodoChange => {
      const [before, now] = [todosOf(events[place - 1]), todosOf(event)];
      const known = new Map(before.map((todo) => [todo.id, todo]));
      const changed = now.flatMap(({ id, content, status }) => {
        const old = known.get(id);
        known.delete(id);
        return old?.status === status && old.content === content ? [] : [{ content, what: status }];
      });
      const removed = [...known.values()].map(({ content }) => ({ content, what: "removed" as const }));
      return { seq: event.seq, at: event.ts, items: [...changed, ...removed] };
    })
    .filter(({ items }) => items.length > 0)
    .reverse();
}

function todoOf(value: unknown, place: number): Todo[] {
  if (typeof value !== "object" || value === null) return [];
  const { id, content, status } = value as Record<string, unknown>;
  if (typeof content !== "string") return [];
  const known = status === "in_progress" || status === "completed" ? status : "pending";
  return [{ id: typeof id === "string" ? id : `${place}:${content}`, content, status: known }];
}
