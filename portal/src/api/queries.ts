import { queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas, setCsrfToken } from "./client";

/** The key of the mutation that signs somebody in. */
export const LOGIN = "login";

export type Run = Schemas["RunView"];

/** Who is here. Other queries are in the folders of what they are about; a key says that, so that a change can have it read again. */
export const meQuery = queryOptions({
  queryKey: ["me"],
  queryFn: async () => {
    const me = await answered(api.GET("/api/me"));
    setCsrfToken(me.csrfToken ?? undefined);
    return me;
  },
  staleTime: Infinity,
});
