import type { TFunction } from "i18next";
import { expect, it } from "vitest";
import { usageText } from "./usage";

const t = ((key: string) => key) as unknown as TFunction;

it("says of tokens that nobody told that they are estimated", () => {
  expect(usageText({ input: 3, output: 1 }, "en", t)).toEqual(["usage.tokens"]);
  expect(usageText({ input: 3, output: 1, estimated: 4 }, "en", t)).toEqual(["≈ usage.tokens"]);
});
