import type { Entry } from "./queries";

/** A line of the tree: an entry, or that a folder is not read yet, empty, or cannot be read. */
export interface TreeRow {
  readonly path: string;
  readonly depth: number;
  readonly entry?: Entry;
  readonly isOpen?: boolean;
  readonly note?: "loading" | "empty" | "failed";
}

export interface Folder {
  readonly entries?: readonly Entry[] | undefined;
  readonly failed?: boolean;
}

/** The lines of a tree in which some folders are open: folders first, each level by name. */
export function treeRows(open: ReadonlySet<string>, folder: (path: string) => Folder, path = "", depth = 0): TreeRow[] {
  const { entries, failed } = folder(path);
  if (failed) return [{ path: `${path}/`, depth, note: "failed" }];
  if (!entries) return [{ path: `${path}/`, depth, note: "loading" }];
  if (entries.length === 0) return [{ path: `${path}/`, depth, note: "empty" }];
  return entries.toSorted(foldersFirst).flatMap((entry) => {
    if (entry.type !== "dir") return [{ path: entry.path, depth, entry }];
    const isOpen = open.has(entry.path);
    const below = isOpen ? treeRows(open, folder, entry.path, depth + 1) : [];
    return [{ path: entry.path, depth, entry, isOpen }, ...below];
  });
}

function foldersFirst(a: Entry, b: Entry): number {
  return (
    Number(b.type === "dir") - Number(a.type === "dir") || byName.compare(a.name, b.name) || (a.name < b.name ? -1 : 1)
  );
}

const byName = new Intl.Collator(undefined, { numeric: true });

/** Where the arrow keys lead from a line: the place of another line, or the folder that is to be opened or closed. */
export function treeMove(
  rows: readonly TreeRow[],
  at: number,
  key: string,
): { to?: number; toggle?: string } | undefined {
  const row = rows[at];
  switch (key) {
    case "ArrowDown":
      return { to: Math.min(rows.length - 1, at + 1) };
    case "ArrowUp":
      return { to: Math.max(0, at - 1) };
    case "Home":
      return { to: 0 };
    case "End":
      return { to: rows.length - 1 };
    case "ArrowRight":
      if (row?.isOpen === undefined) return {};
      return row.isOpen ? { to: Math.min(rows.length - 1, at + 1) } : { toggle: row.path };
    case "ArrowLeft": {
      if (row?.isOpen) return { toggle: row.path };
      const parent = rows.findLastIndex((each, place) => place < at && row !== undefined && each.depth < row.depth);
      return parent >= 0 ? { to: parent } : {};
    }
    default:
      return undefined;
  }
}
