import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const css = readFileSync(new URL("tokens.css", import.meta.url), "utf-8");

type Colours = Readonly<Record<string, string>>;

function coloursIn(block: string): Colours {
  return Object.fromEntries(
    [...block.matchAll(/--color-([\w-]+): (#[0-9a-f]{6});/g)].map(([, name = "", value = ""]) => [name, value]),
  );
}

const [, theme = ""] = /@theme \{([\s\S]*?)\n\}/.exec(css) ?? [];
const [, dark = ""] = /\[data-theme="dark"\] \{([\s\S]*?)\n\}/.exec(css) ?? [];
const THEMES: readonly (readonly [string, Colours])[] = [
  ["light", coloursIn(theme)],
  ["dark", { ...coloursIn(theme), ...coloursIn(dark) }],
];

/** Relative luminance and contrast as WCAG 2.2 defines them. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const part = parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [lighter = 0, darker = 0] = [luminance(a), luminance(b)].toSorted((one, other) => other - one);
  return (lighter + 0.05) / (darker + 0.05);
}

const GROUNDS = ["bg", "panel", "sunken", "code"] as const;
const SOFT = ["accent-soft", "warn-soft", "bad-soft"] as const;
const TEXTS: readonly (readonly [string, readonly string[]])[] = [
  ["text", [...GROUNDS, ...SOFT, "add", "del"]],
  ["muted", [...GROUNDS, ...SOFT, "add", "del"]],
  ["accent", [...GROUNDS, "accent-soft"]],
  ["warn", [...GROUNDS, "warn-soft"]],
  ["bad", [...GROUNDS, "bad-soft"]],
  ["on-accent", ["accent"]],
  ["badge", ["warn-line"]],
];

describe.each(THEMES)("the %s theme", (_, colours) => {
  const of = (name: string) => colours[name] ?? "";

  it("has every colour", () => {
    expect(Object.keys(colours).length).toBeGreaterThan(18);
  });

  it.each(TEXTS.flatMap(([text, grounds]) => grounds.map((ground) => [text, ground] as const)))(
    "reads %s on %s",
    (text, ground) => {
      expect(contrast(of(text), of(ground))).toBeGreaterThanOrEqual(4.5);
    },
  );

  it.each(GROUNDS)("shows the edge of a field and the focus on %s", (ground) => {
    expect(contrast(of("strong-line"), of(ground))).toBeGreaterThanOrEqual(3);
    expect(contrast(of("accent"), of(ground))).toBeGreaterThanOrEqual(3);
  });
});
