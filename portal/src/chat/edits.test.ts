import { describe, expect, it } from "vitest";
import { type Edit, editsOf } from "./edits";

const MARKS = { same: " ", added: "+", removed: "-", gap: "…" } as const;
const drawn = ({ lines }: Edit) => lines.map(({ kind, text, number }) => `${number ?? ""}${MARKS[kind]}${text}`);

describe("what a call changes", () => {
  it("is told of Claude Code's Edit by the lines that differ", () => {
    const [edit] = editsOf({ file_path: "a.py", old_string: "a\nb\nc", new_string: "a\nB\nc" });
    expect(edit).toMatchObject({ path: "a.py", added: 1, removed: 1 });
    expect(drawn(edit!)).toEqual([" a", "-b", "+B", " c"]);
  });

  it("is told of OpenCode's edit alike", () => {
    const [edit] = editsOf({ filePath: "a.py", oldString: "x", newString: "" });
    expect(drawn(edit!)).toEqual(["-x"]);
  });

  it("is told of MultiEdit in one, with a gap between", () => {
    const edits = [
      { old_string: "a", new_string: "b" },
      { old_string: "c", new_string: "d" },
    ];
    expect(editsOf({ file_path: "a", edits }).map(drawn)).toEqual([["-a", "+b", "…", "-c", "+d"]]);
  });

  it("is all of a file that is written, with its lines' numbers", () => {
    const [edit] = editsOf({ file_path: "hello.txt", content: "one\ntwo\n" });
    expect(drawn(edit!)).toEqual(["1+one", "2+two"]);
  });

  it("is told of Codex's changes, each file for itself", () => {
    const changes = [
      { path: "/workspace/a", kind: "update", diff: "@@ -4,3 +4,3 @@\n x\n-y\n+Y\n z\n", movePath: "/workspace/b" },
      { path: "/workspace/new", kind: "add", diff: "one\n" },
      { path: "/workspace/old", kind: "delete", diff: "gone\n" },
    ];
    const edits = editsOf({ changes });
    expect(edits.map(drawn)).toEqual([["4 x", "5-y", "5+Y", "6 z"], ["1+one"], ["1-gone"]]);
    expect(edits[0]?.movedTo).toBe("/workspace/b");
  });

  it("is told of an ACP agent's whole texts", () => {
    const changes = [{ path: "a", oldText: "x\n", newText: "y\n" }];
    expect(editsOf({ changes }).map(drawn)).toEqual([["-x", "+y"]]);
  });

  it("is told of a patch in Codex's own form", () => {
    const patchText =
      "*** Begin Patch\n*** Update File: a\n@@ def f\n x\n-y\n+Y\n*** Add File: b\n+new\n*** End Patch\n";
    expect(editsOf({ patchText }).map((edit) => [edit.path, ...drawn(edit)])).toEqual([
      ["a", "…", " x", "-y", "+Y"],
      ["b", "+new"],
    ]);
  });

  it("is not compared where it is huge", () => {
    const [edit] = editsOf({ file_path: "a", content: "x\n".repeat(150_000) });
    expect(edit).toMatchObject({ removed: 0, added: 150_001 });
  });

  it.each([undefined, null, "text", 1, [], {}, { command: "ls" }, { file_path: "a" }, { changes: "none" }])(
    "is nothing of %j",
    (input) => expect(editsOf(input)).toEqual([]),
  );
});
