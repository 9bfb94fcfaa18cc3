/** Pages of a text as they are shown: whole lines, each page with the number of its first. */
export interface TextPage {
  readonly text: string;
  readonly firstLine: number;
  readonly lines: number;
}

/** Makes pages of text from parts of a file that follow each other. A letter or a line that lies on two parts comes with the second. */
export function textPages(parts: readonly Uint8Array[], isWhole: boolean): TextPage[] {
  const decoder = new TextDecoder();
  const pages: TextPage[] = [];
  let begun = "";
  let firstLine = 1;
  parts.forEach((part, place) => {
    const isLast = place === parts.length - 1;
    const text = begun + decoder.decode(part, { stream: !(isLast && isWhole) });
    const cut = isLast ? text.length : text.lastIndexOf("\n") + 1;
    begun = cut > 0 ? text.slice(cut) : ""; // a line longer than a page is broken where the page ends
    const shown = cut > 0 ? text.slice(0, cut) : text;
    const breaks = shown.split("\n").length - 1;
    pages.push({ text: shown, firstLine, lines: breaks + (shown.endsWith("\n") || shown === "" ? 0 : 1) });
    firstLine += breaks;
  });
  return pages;
}
