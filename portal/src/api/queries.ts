import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas, setCsrfToken } from "./client";
import { isAway } from "./problem";

/** The key of the mutation that signs somebody in. */
export const LOGIN = "login";

const ASK_AGAIN_MS = 3_000;
/** Nothing is seen before it is known who is here: a server that is silent for so long is told to be away. */
const ANSWER_MS = 10_000;

export type Run = Schemas["RunView"];

/** Who is here. Other queries are in the folders of what they are about; a key says that, so that a change can have it read again. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async () => {
    const me = await answered(api.GET("/api/me", { signal: AbortSignal.timeout(ANSWER_MS) }));
    setCsrfToken(me.csrfToken ?? undefined);
    return me;
  },
  staleTime: Infinity,
  // a page that was opened while the server is away comes up with it
  refetchInterval: ({ state }) =>
    state.data === undefined && state.error && isAway(state.error) ? ASK_AGAIN_MS : false,
});
