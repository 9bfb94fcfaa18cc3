import type { Chunk } from "./message";

/** Joins neighbouring pieces of one text, so that a burst of words is one change of the page. */
export function merge(chunks: readonly Chunk[]): Chunk[] {
  const merged: Chunk[] = [];
  for (const chunk of chunks) {
    const last = merged.at(-1);
    if (
      (chunk.type === "text-delta" || chunk.type === "reasoning-delta") &&
      last?.type === chunk.type &&
      last.id === chunk.id
    ) {
      merged[merged.length - 1] = { ...last, delta: last.delta + chunk.delta };
    } else merged.push(chunk);
  }
  return merged;
}
