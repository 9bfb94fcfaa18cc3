import { useMutation, useQueryClient } from "@tanstack/react-query";
import { answered, api, keyed, newKey } from "../api/client";

/** What a person answers: a decision, or texts by question. */
export type Given =
  | { readonly decision: "allow" | "allow_always" | "deny"; readonly message?: string }
  | { readonly answers: Record<string, string[]> };

/** Answers a request. Sent again after no answer came, it is the same act: the key is that of the answer, not of the attempt. */
export function useReply(requestId: string) {
  const client = useQueryClient();
  const reply = useMutation({
    mutationFn: ({ given, key }: { given: Given; key: string }) =>
      answered(api.POST("/api/human-loop/reply", { params: keyed(key), body: { requestId, ...given } })),
    onSettled: () => {
      for (const about of ["requests", "activity", "queue"]) void client.invalidateQueries({ queryKey: [about] });
    },
  });
  return { ...reply, send: (given: Given) => reply.mutate({ given, key: newKey() }) };
}
