import stripAnsi from "strip-ansi";

// What a terminal would act on and a page must not show: all control characters but tab and new line, and marks that turn the order of letters around.
// eslint-disable-next-line no-control-regex -- they are what is looked for
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Returns what a command put out as text: without escapes, and of a line that was written over only what was written last. */
export function plainOutput(output: string): string {
  return stripAnsi(output)
    .replace(/\r\n/g, "\n")
    .replace(/^.*\r(?!$)/gm, "")
    .replace(UNSEEN, "");
}
