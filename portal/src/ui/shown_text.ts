// Control characters but tab and line ends, and marks that turn the order of letters around. Those that join letters stay: languages and
// pictures are made of them.
// eslint-disable-next-line no-control-regex -- they are what is looked for
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

/** Text of an agent or a person as it may be shown: what would hide something, or make it look like another thing, is written out. */
export function shownText(text: string): string {
  return text.replace(HIDDEN, (letter) => `\\u${letter.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
}
