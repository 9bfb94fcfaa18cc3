// Control characters but tab and line ends, marks that turn the order of letters around, and letters that nobody sees. Those that join
// letters (U+200C, U+200D) stay: languages and pictures are made of them.
const HIDDEN =
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u180e\u200b\u202a-\u202e\u2060-\u2064\u2066-\u206f\u3164\ufeff\uffa0\u{e0000}-\u{e007f}]/gu;

/** Text of an agent or a person as it may be shown: what would hide something, or make it look like another thing, is written out. */
export function shownText(text: string): string {
  return text.replace(
    HIDDEN,
    (letter) => `\\u${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`,
  );
}
