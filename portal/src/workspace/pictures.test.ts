import { expect, it } from "vitest";
import { isPicture } from "./pictures";

const bytes = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

it("goes by what a file begins with", () => {
  expect(
    ["\x89PNG\r\n\x1A\n", "\xFF\xD8\xFF\xE0", "GIF89a", "RIFF....WEBPVP8 "].every((each) => isPicture(bytes(each))),
  ).toBe(true);
  expect(["", "<svg>", "%PDF-1.7", " GIF89a"].some((each) => isPicture(bytes(each)))).toBe(false);
});
