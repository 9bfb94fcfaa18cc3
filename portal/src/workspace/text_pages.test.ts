import { expect, it } from "vitest";
import { textPages } from "./text_pages";

const bytes = (text: string) => new TextEncoder().encode(text);
const cutAt = (text: string, ...places: number[]) => {
  const all = bytes(text);
  return [0, ...places].map((from, place) => all.slice(from, places[place] ?? all.length));
};

it("keeps lines and letters whole over parts", () => {
  const text = "eins\nzwölf\n文件\nende";
  for (let place = 1; place < bytes(text).length; place += 1) {
    const pages = textPages(cutAt(text, place), true);
    expect(pages.map((page) => page.text).join("")).toBe(text);
    expect(pages[0]?.text).not.toContain("\uFFFD");
    expect(pages.at(-1)).toMatchObject({ firstLine: 5 - (pages.at(-1)?.lines ?? 0) });
  }
});

it("breaks a line that is longer than a part", () => {
  expect(textPages(cutAt("abcdefgh\ni", 4), true)).toEqual([
    { text: "abcd", firstLine: 1, lines: 1 },
    { text: "efgh\ni", firstLine: 1, lines: 2 },
  ]);
});

it("has no line after the last new line", () => {
  expect(textPages([bytes("a\nb\n")], true)).toEqual([{ text: "a\nb\n", firstLine: 1, lines: 2 }]);
  expect(textPages([bytes("")], true)).toEqual([{ text: "", firstLine: 1, lines: 0 }]);
});
