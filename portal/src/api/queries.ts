import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import type { Envelope } from "../events/envelope";
import { answered, api, type Schemas, setCsrfToken } from "./client";

export type Run = Schemas["RunView"];

/** Every query of the portal; its key says what it is about, so that a change can make it be read again. */

export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async () => {
    const me = await answered(api.GET("/api/me"));
    setCsrfToken(me.csrfToken ?? undefined);
    return me;
  },
  staleTime: Infinity,
});

const RUNS_OF_A_PAGE = 10;

/** The runs of a session, the newest first. */
export const runsQuery = (sessionId: string) =>
  infiniteQueryOptions({
    queryKey: ["runs", sessionId],
    queryFn: ({ pageParam }) =>
      answered(api.GET("/api/runs", { params: { query: { sessionId, limit: RUNS_OF_A_PAGE, cursor: pageParam } } })),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
  });

const EVENTS_OF_A_PAGE = 200;

/** A run's log up to a seq, read from its end upward. What was logged never changes, so a page is read once. */
export const logQuery = (runId: string, upTo: number) =>
  infiniteQueryOptions({
    queryKey: ["log", runId, upTo],
    queryFn: async ({ pageParam }) => {
      const after = Math.max(0, pageParam - EVENTS_OF_A_PAGE);
      const query = { cursor: String(after), limit: pageParam - after };
      const page = await answered(api.GET("/api/runs/{run_id}/events", { params: { path: { run_id: runId }, query } }));
      return { after, events: page.items as unknown as Envelope[] };
    },
    initialPageParam: upTo,
    getNextPageParam: (page) => (page.after > 0 ? page.after : null),
    staleTime: Infinity,
  });
