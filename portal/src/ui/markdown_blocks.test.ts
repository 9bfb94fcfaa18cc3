import { lexer } from "marked";
import { expect, it } from "vitest";
import { MarkdownBlocks } from "./markdown_blocks";

const TEXT = [
  "# A title",
  "A paragraph with **bold** words\nin two lines.",
  "- one\n- two\n\n  more of two\n- three",
  "```python\nprint('a')\n\n# no title\n```",
  "| a | b |\n|---|---|\n| 1 | 2 |",
  "> quoted\n> twice",
  "A setext title\n===",
  "The end.",
].join("\n\n");

it("cuts a text that grows as it cuts the whole", () => {
  const growing = new MarkdownBlocks();
  for (let length = 1; length <= TEXT.length; length += 1) {
    const text = TEXT.slice(0, length);
    growing.of(text, true);
    expect(growing.of(text, false)).toEqual(lexer(text).map((token) => token.raw));
  }
});

it("loses nothing of a text that is replaced by another", () => {
  const blocks = new MarkdownBlocks();
  blocks.of(TEXT, false);
  expect(blocks.of("Something else.", false)).toEqual(["Something else."]);
});

it("closes what is still open while it grows", () => {
  expect(new MarkdownBlocks().of("This is **bo", true)).toEqual(["This is **bo**"]);
  expect(new MarkdownBlocks().of("See [this](http://exam", true)).toEqual(["See this"]);
});
