import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "../api/client";

export type Provider = Schemas["ProviderView"];

const FRESH_MS = 30_000;

/** The agents of the installation: what each can do and whether it is ready. */
export const providersQuery = queryOptions({
  queryKey: ["providers"],
  queryFn: () => answered(api.GET("/api/providers")),
  staleTime: FRESH_MS,
});
