import { parsePatch, structuredPatch, type StructuredPatchHunk } from "diff";
import type { Facts } from "../events/blocks";

/** What a tool call changes in one file, as lines of a diff. */
export interface Edit {
  readonly path: string;
  readonly movedTo?: string;
  readonly lines: readonly Line[];
  readonly added: number;
  readonly removed: number;
}

export interface Line {
  readonly kind: "same" | "added" | "removed" | "gap";
  readonly text: string;
  /** Its number in the file, where that is known: an agent that replaces a text does not say where it is. */
  readonly number?: number;
}

/** Characters beyond which a change is not compared line by line. */
const LONGEST = 200_000;
const CONTEXT = 3;

/** Returns what a call's input says it changes; nothing for a tool that does not tell. Knows the forms of all providers' edit tools. */
export function editsOf(input: unknown): readonly Edit[] {
  if (!isFacts(input)) return [];
  const changes = input["changes"];
  if (Array.isArray(changes)) return changes.filter(isFacts).flatMap(changed);
  const patch = text(input, "patchText", "patch");
  if (patch !== undefined) return fromPatch(patch);
  const path = text(input, "file_path", "filePath", "path", "notebook_path");
  if (path === undefined) return [];
  const edits = input["edits"];
  if (Array.isArray(edits)) return merged(path, edits.filter(isFacts).map(replaced));
  const whole = text(input, "content", "new_source");
  if (whole !== undefined) return [compared(path, "", whole, true)];
  return isReplacement(input) ? merged(path, [replaced(input)]) : [];
}

function changed(change: Facts): readonly Edit[] {
  const path = text(change, "path") ?? "";
  const diff = text(change, "diff");
  const movedTo = text(change, "movePath");
  if (diff !== undefined) {
    const hunks = change["kind"] === "update" || diff.startsWith("@@") ? hunksOf(diff) : undefined;
    const edit = hunks ? ofHunks(path, hunks, true) : compared(path, ...wholeOf(change["kind"], diff), true);
    return [{ ...edit, ...(movedTo !== undefined && { movedTo }) }];
  }
  return [compared(path, text(change, "oldText") ?? "", text(change, "newText") ?? "", change["oldText"] == null)];
}

/** Of a file that comes or goes Codex tells the whole. */
function wholeOf(kind: unknown, whole: string): [string, string] {
  return kind === "delete" ? [whole, ""] : ["", whole];
}

type Replacement = readonly [string, string];

function isReplacement(input: Facts): boolean {
  return text(input, "new_string", "newString", "newText") !== undefined;
}

function replaced(input: Facts): Replacement {
  return [
    text(input, "old_string", "oldString", "oldText") ?? "",
    text(input, "new_string", "newString", "newText") ?? "",
  ];
}

function merged(path: string, replacements: readonly Replacement[]): readonly Edit[] {
  const edits = replacements.map(([before, after]) => compared(path, before, after, false));
  const lines = edits.flatMap((edit, place) => (place > 0 ? [GAP, ...edit.lines] : edit.lines));
  const sum = (name: "added" | "removed") => edits.reduce((total, edit) => total + edit[name], 0);
  return [{ path, lines, added: sum("added"), removed: sum("removed") }];
}

function compared(path: string, before: string, after: string, isNumbered: boolean): Edit {
  if (before.length + after.length > LONGEST) return replacedWhole(path, before, after);
  const { hunks } = structuredPatch(path, path, ended(before), ended(after), "", "", { context: CONTEXT });
  return ofHunks(path, hunks, isNumbered);
}

/** Too much to compare: all that was goes, all that is comes. */
function replacedWhole(path: string, before: string, after: string): Edit {
  const lines = (whole: string, kind: Line["kind"]) =>
    whole === "" ? [] : whole.split("\n").map((said) => ({ kind, text: said }));
  const [removed, added] = [lines(before, "removed"), lines(after, "added")];
  return { path, lines: [...removed, ...added], added: added.length, removed: removed.length };
}

/** OpenCode and Codex also take patches in a form of their own: files between `*** Begin Patch` and `*** End Patch`. */
function fromPatch(patch: string): readonly Edit[] {
  if (!patch.includes("*** "))
    return parsedPatches(patch).map(({ newFileName, hunks }) => ofHunks(newFileName ?? "", hunks, true));
  const edits: Edit[] = [];
  for (const file of patch.split(/^\*\*\* (?=(?:Add|Update|Delete) File: )/m).slice(1)) {
    const [head = "", ...rest] = file.split("\n");
    const lines = rest.filter((line) => !line.startsWith("*** ")).flatMap(patchLine);
    edits.push(counted(head.replace(/^\w+ File: /, ""), lines));
  }
  return edits;
}

function patchLine(line: string): readonly Line[] {
  if (line.startsWith("@@")) return [GAP];
  if (line.startsWith("+")) return [{ kind: "added", text: line.slice(1) }];
  if (line.startsWith("-")) return [{ kind: "removed", text: line.slice(1) }];
  return line === "" ? [] : [{ kind: "same", text: line.slice(1) }];
}

function hunksOf(diff: string): readonly StructuredPatchHunk[] | undefined {
  return parsedPatches(diff)[0]?.hunks;
}

function parsedPatches(patch: string) {
  try {
    return parsePatch(patch);
  } catch {
    return []; // an agent's patch need not be a whole one
  }
}

function ofHunks(path: string, hunks: readonly StructuredPatchHunk[], isNumbered: boolean): Edit {
  const lines = hunks.flatMap((hunk, place) =>
    place > 0 ? [GAP, ...linesOf(hunk, isNumbered)] : linesOf(hunk, isNumbered),
  );
  return counted(path, lines);
}

function linesOf(hunk: StructuredPatchHunk, isNumbered: boolean): Line[] {
  let [before, after] = [hunk.oldStart, hunk.newStart];
  return hunk.lines.flatMap((line): Line[] => {
    const said = line.slice(1);
    const at = (number: number) => (isNumbered ? { number } : {});
    if (line.startsWith("+")) return [{ kind: "added", text: said, ...at(after++) }];
    if (line.startsWith("-")) return [{ kind: "removed", text: said, ...at(before++) }];
    if (line.startsWith("\\")) return []; // no new line at the end of the file
    before += 1;
    return [{ kind: "same", text: said, ...at(after++) }];
  });
}

function counted(path: string, lines: readonly Line[]): Edit {
  const count = (kind: Line["kind"]) => lines.filter((line) => line.kind === kind).length;
  return { path, lines, added: count("added"), removed: count("removed") };
}

const GAP: Line = { kind: "gap", text: "" };

/** A piece of a file does not end as the file does: whether a new line follows is not what is compared. */
function ended(piece: string): string {
  return piece === "" || piece.endsWith("\n") ? piece : `${piece}\n`;
}

function text(facts: Facts, ...names: readonly string[]): string | undefined {
  return names.map((name) => facts[name]).find((value) => typeof value === "string");
}

function isFacts(value: unknown): value is Facts {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
