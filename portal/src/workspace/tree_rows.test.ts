import { expect, it } from "vitest";
import type { Entry } from "./queries";
import { treeMove, treeRows } from "./tree_rows";

const entry = (path: string, type: Entry["type"]): Entry => ({
  name: path.replace(/.*\//, ""),
  path,
  type,
  mode: 0o644,
});
const FILES: Record<string, Entry[]> = {
  "": [entry("b10.txt", "file"), entry("src", "dir"), entry("b9.txt", "file"), entry("docs", "dir")],
  src: [entry("src/main.py", "file"), entry("src/deep", "dir")],
  docs: [],
};
const read = (path: string) => ({ entries: FILES[path] });

it("lists folders first, by name, and what open ones hold below them", () => {
  const rows = treeRows(new Set(["src", "docs", "src/deep"]), read);
  expect(rows.map(({ path, depth, note }) => `${depth} ${path}${note ? ` ${note}` : ""}`)).toEqual([
    "0 docs",
    "1 docs/ empty",
    "0 src",
    "1 src/deep",
    "2 src/deep/ loading",
    "1 src/main.py",
    "0 b9.txt",
    "0 b10.txt",
  ]);
});

it("says where a folder cannot be read", () => {
  expect(treeRows(new Set(), () => ({ failed: true }))).toEqual([{ path: "/", depth: 0, note: "failed" }]);
});

it("goes through the lines by arrow keys", () => {
  const rows = treeRows(new Set(["src"]), read);
  expect(rows.map(({ path }) => path)).toEqual(["docs", "src", "src/deep", "src/main.py", "b9.txt", "b10.txt"]);
  expect(treeMove(rows, 0, "ArrowUp")).toEqual({ to: 0 });
  expect(treeMove(rows, 0, "ArrowDown")).toEqual({ to: 1 });
  expect(treeMove(rows, 0, "ArrowRight")).toEqual({ toggle: "docs" });
  expect(treeMove(rows, 1, "ArrowRight")).toEqual({ to: 2 });
  expect(treeMove(rows, 1, "ArrowLeft")).toEqual({ toggle: "src" });
  expect(treeMove(rows, 3, "ArrowLeft")).toEqual({ to: 1 });
  expect(treeMove(rows, 4, "ArrowLeft")).toEqual({});
  expect(treeMove(rows, 4, "End")).toEqual({ to: 5 });
  expect(treeMove(rows, 4, "Tab")).toBeUndefined();
});
