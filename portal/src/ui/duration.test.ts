import { expect, it } from "vitest";
import { durationOf, spanText } from "./duration";

it.each([
  [0, "0 sec"],
  [0.31, "0.3 sec"],
  [9.94, "9.9 sec"],
  [9.97, "10 sec"],
  [59.4, "59 sec"],
  [60, "1 min"],
  [185, "3 min 5 sec"],
  [7800, "2 hr 10 min"],
  [-1, "0 sec"],
])("says %d seconds as %s", (seconds, said) => {
  expect(spanText(seconds, "en")).toBe(said);
});

it("speaks other languages", () => {
  expect(durationOf("2026-01-01T00:00:00Z", "2026-01-01T00:03:05Z", "zh")).toBe("3分钟 5秒");
});
