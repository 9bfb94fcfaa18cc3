import { expect, it } from "vitest";
import { hunksOf, splitRows, unifiedRows } from "./diff_rows";

const PATCH = `diff --git "a/a\\tb" "b/a\\tb"
index 1..2 100644
--- "a/a\\tb"
+++ "b/a\\tb"
@@ -1,3 +1,4 @@
 one
-two
-three
+2
+3
+diff --git a/x b/x
\\ No newline at end of file
@@ -10,1 +11,1 @@
-ten
+zehn
`;

it("numbers the lines of both sides", () => {
  const rows = unifiedRows(hunksOf(PATCH)).map((row) =>
    "line" in row ? `${row.line.kind} ${row.line.number} ${row.line.text}` : "gap" in row ? row.gap : "",
  );
  expect(rows).toEqual([
    "@@ -1,3 +1,4 @@",
    "same 1 one",
    "removed 2 two",
    "removed 3 three",
    "added 2 2",
    "added 3 3",
    "added 4 diff --git a/x b/x",
    "@@ -10,1 +11,1 @@",
    "removed 10 ten",
    "added 11 zehn",
  ]);
});

it("puts the old beside the new", () => {
  const rows = splitRows(hunksOf(PATCH)).map((row) =>
    "before" in row
      ? `${row.before?.number ?? ""} ${row.before?.text ?? ""} | ${row.after?.number ?? ""} ${row.after?.text ?? ""}`
      : "gap",
  );
  expect(rows).toEqual([
    "gap",
    "1 one | 1 one",
    "2 two | 2 2",
    "3 three | 3 3",
    "  | 4 diff --git a/x b/x",
    "gap",
    "10 ten | 11 zehn",
  ]);
});

it("takes what is no patch of lines for nothing", () => {
  expect(hunksOf("diff --git a/x b/x\nBinary files a/x and b/x differ\n")).toEqual([]);
  expect(hunksOf("x\n@@ nonsense @@\n<script>")).toEqual([]);
});

it("writes out what hides in a line", () => {
  const [, row] = unifiedRows(hunksOf("--- a\n+++ b\n@@ -0,0 +1,1 @@\n+if (admin\u202e) {\n"));
  expect(row).toMatchObject({ line: { text: "if (admin\\u202E) {" } });
});
