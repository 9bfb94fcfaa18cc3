import ts from "typescript";
import { describe, expect, it } from "vitest";
import { en } from "./en";
import { zh } from "./zh";

const sources = import.meta.glob<string>("../**/*.{ts,tsx}", { eager: true, query: "?raw", import: "default" });
const pages = Object.entries(sources).filter(([path]) => path.endsWith(".tsx") && !path.endsWith(".test.tsx"));
const SPOKEN = new Set([
  "aria-label",
  "aria-description",
  "aria-placeholder",
  "aria-roledescription",
  "title",
  "placeholder",
  "alt",
  "label",
]);

/** Texts of a component that a person would read and that are in no catalogue. */
function strays(path: string, text: string): string[] {
  const found: string[] = [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const note = (node: ts.Node, said: string) => {
    if (/\p{L}/u.test(said))
      found.push(`${path}:${source.getLineAndCharacterOfPosition(node.pos).line + 1} ${said.trim()}`);
  };
  const literals = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) return; // t("key") and the like
    if (ts.isStringLiteralLike(node)) note(node, node.text);
    else if (ts.isTemplateExpression(node)) {
      note(node, node.head.text + node.templateSpans.map((span) => span.literal.text).join(""));
    } else if (ts.isConditionalExpression(node)) {
      literals(node.whenTrue);
      literals(node.whenFalse);
    } else if (ts.isBinaryExpression(node)) {
      literals(node.right);
    }
  };
  const visit = (node: ts.Node): void => {
    if (ts.isJsxText(node)) note(node, node.text);
    if (ts.isJsxAttribute(node) && SPOKEN.has(node.name.getText()) && node.initializer) {
      literals(
        ts.isJsxExpression(node.initializer) ? (node.initializer.expression ?? node.initializer) : node.initializer,
      );
    }
    if (ts.isJsxExpression(node) && node.expression && !ts.isJsxAttribute(node.parent)) literals(node.expression);
    node.forEachChild(visit);
  };
  visit(source);
  return found;
}

describe("the catalogues", () => {
  it("have the same keys, none of them empty", () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
    expect(Object.entries({ ...en, ...zh }).filter(([, text]) => text.trim() === "")).toEqual([]);
  });

  it("fill in the same values in both languages", () => {
    const values = (text: string) => [...text.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]).sort();
    for (const key of Object.keys(en) as (keyof typeof en)[])
      expect([key, values(zh[key])]).toEqual([key, values(en[key])]);
  });

  it("hold nothing that no page says", () => {
    const code = Object.entries(sources)
      .filter(([path]) => !path.startsWith("./"))
      .map(([, text]) => text)
      .join("\n");
    const unused = Object.keys(en).filter(
      (key) => !code.includes(`"${key}"`) && !code.includes(`\`${key.split(".")[0]}.\${`),
    );
    expect(unused).toEqual([]);
  });

  it("hold every text that a component shows", () => {
    expect(pages.length).toBeGreaterThan(10);
    expect(pages.flatMap(([path, text]) => strays(path, text))).toEqual([]);
  });

  it.each([
    ["<p>Hello</p>", "Hello"],
    ['<a title="Hello" />', "Hello"],
    ['<p>{ok ? "Yes" : t("no")}</p>', "Yes"],
    ["<p aria-label={`${n} files`} />", "files"],
    ['<p>{ok && "Ready"}</p>', "Ready"],
  ])("would be found wanting by %s", (text, stray) => {
    expect(strays("a.tsx", `const a = ${text};`)).toEqual([`a.tsx:1 ${stray}`]);
  });
});
