import { expect, it } from "vitest";
import { shownText } from "./shown_text";

it.each([
  ["plain\n\ttext\r\n", "plain\n\ttext\r\n"],
  ["\u001b[31mred", "\\u001B[31mred"],
  ["if (admin\u202e) {\u2066", "if (admin\\u202E) {\\u2066"],
  ["a\u200bb\ufeff\u3164", "a\\u200Bb\\uFEFF\\u3164"],
  ["tag\u{e0041}", "tag\\uE0041"],
  ["👨‍👩‍👧 می‌خواهم שלום", "👨‍👩‍👧 می‌خواهم שלום"],
])("shows %j as %j", (text, shown) => {
  expect(shownText(text)).toBe(shown);
});
