import type { Token } from "./highlighter";

/** Beyond this a text is shown without colours: they are not worth holding up the page. */
const LONGEST = 30_000;

/** Returns a text's lines in coloured pieces, or nothing where its language is not known. What it takes is loaded when it is first needed. */
export async function highlighted(code: string, language: string): Promise<readonly (readonly Token[])[] | undefined> {
  if (language === "" || code.length > LONGEST) return undefined;
  try {
    const { linesOf } = await import("./highlighter");
    return await linesOf(code, language.toLowerCase());
  } catch {
    return undefined; // colours of a version that is no longer there
  }
}

/** The language of a file by its name. */
export function languageOf(path: string): string {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  return NAMES[name] ?? name.slice(name.lastIndexOf(".") + 1);
}

const NAMES: Readonly<Record<string, string>> = {
  dockerfile: "docker",
  makefile: "make",
  ".bashrc": "bash",
  ".env": "ini",
};
