import { infiniteQueryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "../api/client";

export type Token = Schemas["TokenView"];

/** One's own tokens, the newest first. */
export const tokensQuery = infiniteQueryOptions({
  queryKey: ["tokens"],
  queryFn: ({ pageParam }) => answered(api.GET("/api/tokens", { params: { query: { limit: 50, cursor: pageParam } } })),
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.nextCursor,
});
