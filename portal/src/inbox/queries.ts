import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "../api/client";

export type Request = Schemas["RequestView"];

const MOST = 200;
const RESOLVED_OF_A_PAGE = 30;

/** What waits for an answer in all sessions, the oldest first. */
export const pendingQuery = queryOptions({
  queryKey: ["requests", "pending"],
  queryFn: () => answered(api.GET("/api/human-loop/pending", { params: { query: { limit: MOST } } })),
});

/** What was answered or closed, the newest first. */
export const resolvedQuery = infiniteQueryOptions({
  queryKey: ["requests", "resolved"],
  queryFn: ({ pageParam }) => {
    const query = { limit: RESOLVED_OF_A_PAGE, cursor: pageParam };
    return answered(api.GET("/api/human-loop/resolved", { params: { query } }));
  },
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.nextCursor,
});
