import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answered, api } from "../api/client";
import type { Envelope } from "../events/envelope";

/** Where reading begins: at one end of the log, or behind a seq. */
export type Anchor = "start" | "end" | number;

/** Which way a page is read from its border. */
export interface From {
  readonly before?: string;
  readonly cursor?: string;
}

/** Some events in their order. `before` and `after` are where the pages around it are read from; null where nothing is. */
export interface LogPage {
  readonly events: readonly Envelope[];
  readonly before: From | null;
  readonly after: From | null;
}

const EVENTS_OF_A_PAGE = 200;
const PAGES_KEPT = 10;
const RUNS_TO_CHOOSE_FROM = 50;

/** The runs of a session that can be looked at, the newest first. */
export const runsQuery = (sessionId: string) =>
  queryOptions({
    queryKey: ["runs", sessionId],
    queryFn: () => answered(api.GET("/api/runs", { params: { query: { sessionId, limit: RUNS_TO_CHOOSE_FROM } } })),
  });

/**
 * A run's log (events of some types alone, where some are named) from an anchor in both directions. However long it is and however
 * far one reads, a few pages are kept.
 */
export const eventsQuery = (runId: string, types: string, anchor: Anchor) =>
  infiniteQueryOptions({
    queryKey: ["events", runId, types, anchor],
    queryFn: ({ pageParam }) => pageOf(runId, types, pageParam),
    initialPageParam: fromOf(anchor),
    getPreviousPageParam: (page) => page.before,
    getNextPageParam: (page) => page.after,
    maxPages: PAGES_KEPT,
    staleTime: Infinity, // what was logged never changes
    gcTime: 0,
  });

function fromOf(anchor: Anchor): From {
  if (anchor === "end") return { before: "end" };
  return { cursor: String(anchor === "start" ? 0 : Math.max(0, anchor - EVENTS_OF_A_PAGE / 2)) };
}

async function pageOf(runId: string, types: string, from: From): Promise<LogPage> {
  const query = { ...from, limit: EVENTS_OF_A_PAGE, ...(types !== "" && { types }) };
  const page = await answered(api.GET("/api/runs/{run_id}/events", { params: { path: { run_id: runId }, query } }));
  const events = page.items as unknown as Envelope[];
  const first = events[0]?.seq ?? 1;
  const isFirst = from.before === undefined ? first <= 1 : page.previousCursor == null;
  const last = from.before === undefined || from.before === "end" ? page.nextCursor : String(events.at(-1)?.seq ?? 0);
  return {
    events,
    before: isFirst || events.length === 0 ? null : { before: String(first) },
    after: last === null ? null : { cursor: last },
  };
}
