/** Where in its beginning a picture says what it is. */
const MARKS: readonly (readonly [number, string])[] = [
  [0, "\x89PNG\r\n"],
  [0, "\xFF\xD8\xFF"],
  [0, "GIF8"],
  [8, "WEBP"],
];

/** True where the bytes begin as a picture does that the server sends as one; a name tells nothing. */
export function isPicture(bytes: Uint8Array): boolean {
  const begin = String.fromCharCode(...bytes.subarray(0, 16));
  return MARKS.some(([at, mark]) => begin.startsWith(mark, at));
}
