import { expect, it } from "vitest";
import { keptIds } from "./kept";
import type { Request } from "./queries";

const request = (requestId: string) => ({ requestId }) as Request;

it("leaves an answered card in its place and adds new ones below", () => {
  const first = keptIds([], [request("a"), request("b")]);
  expect(first).toEqual(["a", "b"]);
  expect(keptIds(first, [request("b"), request("c")])).toEqual(["a", "b", "c"]);
  expect(keptIds(first, [])).toBe(first);
});
