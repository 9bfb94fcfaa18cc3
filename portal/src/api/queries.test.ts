// @vitest-environment happy-dom
import { QueryClient } from "@tanstack/react-query";
import { expect, it, vi } from "vitest";
import { isAway, Problem } from "./problem";
import { meQuery } from "./queries";

const asked = () => new QueryClient().query({ ...meQuery, retry: false }).catch((error: unknown) => error);

it("does not wait without end to know who is here", async () => {
  const silence = new AbortController();
  vi.spyOn(AbortSignal, "timeout").mockReturnValue(silence.signal);
  const fetched = vi.spyOn(window, "fetch").mockImplementation(
    (request) =>
      new Promise((_, reject) => {
        (request as Request).signal.addEventListener("abort", () => reject(new DOMException("silent", "TimeoutError")));
      }),
  );
  const told = asked();
  await vi.waitFor(() => expect(fetched).toHaveBeenCalledOnce());
  silence.abort();
  expect(isAway(await told)).toBe(true);
});

it.each([
  [502, "<h1>Bad Gateway</h1>", true],
  [503, "", true],
  [500, "", false],
])("tells what a proxy says (%i) from what Paddock says", async (status, body, away) => {
  vi.spyOn(window, "fetch").mockResolvedValue(new Response(body, { status }));
  expect(isAway(await asked())).toBe(away);
});

it("takes a refusal in Paddock's words for an answer", () => {
  expect(isAway(new Problem({ code: "database_unavailable", status: 503, detail: "The database is away." }))).toBe(
    false,
  );
});
