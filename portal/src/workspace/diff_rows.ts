import { parsePatch, type StructuredPatchHunk } from "diff";
import { shownText } from "../ui/shown_text";

export interface DiffLine {
  readonly kind: "same" | "added" | "removed";
  readonly text: string;
  readonly number: number;
}

/** One line over the whole width, or the old beside the new. */
export type DiffRow =
  | { readonly gap: string }
  | { readonly line: DiffLine }
  | { readonly before: DiffLine | undefined; readonly after: DiffLine | undefined };

/** The hunks of one file's patch; nothing where it holds none (a picture, a mode) or is not one. */
export function hunksOf(patch: string): readonly StructuredPatchHunk[] {
  const start = patch.indexOf("\n@@ ");
  if (start < 0) return [];
  try {
    return parsePatch(patch.slice(start + 1)).flatMap((file) => file.hunks); // names in the head need not be plain
  } catch {
    return [];
  }
}

export function unifiedRows(hunks: readonly StructuredPatchHunk[]): DiffRow[] {
  return hunks.flatMap((hunk) => [gapOf(hunk), ...linesOf(hunk).map((line) => ({ line }))]);
}

/** What was removed beside what came in its place. */
export function splitRows(hunks: readonly StructuredPatchHunk[]): DiffRow[] {
  return hunks.flatMap((hunk) => {
    const rows: DiffRow[] = [gapOf(hunk)];
    let [removed, added]: [DiffLine[], DiffLine[]] = [[], []];
    const pair = () => {
      for (let place = 0; place < Math.max(removed.length, added.length); place += 1) {
        rows.push({ before: removed[place], after: added[place] });
      }
      [removed, added] = [[], []];
    };
    let shift = hunk.oldStart - hunk.newStart;
    for (const line of linesOf(hunk)) {
      if (line.kind === "removed") {
        removed.push(line);
        shift += 1;
      } else if (line.kind === "added") {
        added.push(line);
        shift -= 1;
      } else {
        pair();
        rows.push({ before: { ...line, number: line.number + shift }, after: line });
      }
    }
    pair();
    return rows;
  });
}

function gapOf({ oldStart, oldLines, newStart, newLines }: StructuredPatchHunk): DiffRow {
  return { gap: `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@` };
}

function linesOf(hunk: StructuredPatchHunk): DiffLine[] {
  let [before, after] = [hunk.oldStart, hunk.newStart];
  return hunk.lines.flatMap((line): DiffLine[] => {
    const text = shownText(line.slice(1));
    if (line.startsWith("+")) return [{ kind: "added", text, number: after++ }];
    if (line.startsWith("-")) return [{ kind: "removed", text, number: before++ }];
    if (line.startsWith("\\")) return []; // no new line at the end of the file
    before += 1;
    return [{ kind: "same", text, number: after++ }];
  });
}
