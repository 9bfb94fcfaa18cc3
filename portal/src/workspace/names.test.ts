import { expect, it } from "vitest";
import { shownName, sizeText } from "./names";

it("shows what would hide in a name, and leaves the rest as it is", () => {
  expect(shownName("photo\u202Egnp.exe")).toBe("photo\\u202Egnp.exe");
  expect(shownName("a\nb\u200B\u0000")).toBe("a\\u000Ab\\u200B\\u0000");
  expect(shownName("<img src=x onerror=alert(1)>")).toBe("<img src=x onerror=alert(1)>");
  expect(shownName("文件 ü.txt")).toBe("文件 ü.txt");
});

it("tells sizes in words", () => {
  expect([0, 999, 1000, 3_440, 99_900, 1_500_000_000].map((bytes) => sizeText(bytes, "en"))).toEqual([
    "0 bytes",
    "999 bytes",
    "1 kB",
    "3.4 kB",
    "100 kB",
    "1.5 GB",
  ]);
});
