import { infiniteQueryOptions } from "@tanstack/react-query";
import { answered, api } from "../api/client";
import type { Envelope } from "../events/envelope";

const LISTS_OF_A_PAGE = 200;

/** How the todo list of a run changed: whole lists, the oldest first. */
export const todosQuery = (runId: string) =>
  infiniteQueryOptions({
    queryKey: ["todos", runId],
    queryFn: async ({ pageParam }) => {
      const params = { path: { run_id: runId }, query: { cursor: pageParam, limit: LISTS_OF_A_PAGE } };
      const page = await answered(api.GET("/api/runs/{run_id}/todos/events", { params }));
      return { events: page.items as unknown as Envelope[], nextCursor: page.nextCursor };
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
  });
