import { lexer } from "marked";
import remend from "remend";

/**
 * Cuts Markdown into its blocks, so that of a text that grows only its end is rendered anew. Of what was seen before, only the last
 * two blocks are looked at again: more words cannot change those before.
 */
export class MarkdownBlocks {
  #text = "";
  #blocks: readonly string[] = [];

  of(text: string, isGrowing: boolean): readonly string[] {
    const kept = text.startsWith(this.#text) ? this.#blocks.slice(0, -2) : [];
    const length = kept.reduce((sum, block) => sum + block.length, 0);
    const blocks = [...kept, ...lexer(text.slice(length)).map((token) => token.raw)];
    this.#text = text;
    this.#blocks = blocks;
    const last = blocks.at(-1);
    return isGrowing && last !== undefined ? [...blocks.slice(0, -1), remend(last, { linkMode: "text-only" })] : blocks;
  }
}
