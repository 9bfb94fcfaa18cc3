import { expect, it } from "vitest";
import { plainOutput } from "./plain_output";

it.each([
  ["plain\n\ttext", "plain\n\ttext"],
  ["\u001b[31mred\u001b[0m and \u001b[1;4mbold\u001b[m", "red and bold"],
  ["\u001b]8;;https://evil.example/\u0007click\u001b]8;;\u0007", "click"],
  ["\u001b]0;a title\u0007shown", "shown"],
  ["10%\r50%\r100%\ndone\r\n", "100%\ndone\n"],
  ["a\u0008b\u0000c\u0085d", "abcd"],
  ["access = \u202e'nimda'\u2066", "access = 'nimda'"],
  ["<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"],
])("shows %j as %j", (output, shown) => {
  expect(plainOutput(output)).toBe(shown);
});
