import { expect, it } from "vitest";
import type { Envelope } from "../events/envelope";
import { changesOf, todosOf } from "./todo_lists";

const event = (seq: number, ...todos: unknown[]) =>
  ({ seq, ts: `t${seq}`, type: "todo.update", data: { todos } }) as unknown as Envelope;
const todo = (id: string, status: string) => ({ id, content: `do ${id}`, status });

it("takes the list as it was told last", () => {
  expect(todosOf(undefined)).toEqual([]);
  expect(todosOf(event(1, todo("a", "completed"), { content: "b", status: "of tomorrow" }, "nonsense"))).toEqual([
    { id: "a", content: "do a", status: "completed" },
    { id: "1:b", content: "b", status: "pending" },
  ]);
});

it("tells of each list what is another than before, the newest first", () => {
  const lists = [
    event(3, todo("a", "in_progress"), todo("b", "pending")),
    event(5, todo("a", "in_progress"), todo("b", "pending")),
    event(9, todo("a", "completed"), todo("c", "pending")),
  ];
  expect(changesOf(lists)).toEqual([
    {
      seq: 9,
      at: "t9",
      items: [
        { content: "do a", what: "completed" },
        { content: "do c", what: "pending" },
        { content: "do b", what: "removed" },
      ],
    },
    {
      seq: 3,
      at: "t3",
      items: [
        { content: "do a", what: "in_progress" },
        { content: "do b", what: "pending" },
      ],
    },
  ]);
});
