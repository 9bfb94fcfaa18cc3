import type { Envelope } from "./envelope";
import type { Chunk } from "./message";

interface Line {
  readonly envelope: Envelope;
  readonly chunks: readonly Chunk[];
}

interface RecordedRun {
  readonly name: string;
  readonly lines: readonly Line[];
}

/** Recorded runs of a real agent, with the chunks that the server makes of them (`make portal-types` writes them). For tests. */
export function recordedRuns(): RecordedRun[] {
  const files = import.meta.glob<Line[]>("./recorded/*.json", { eager: true, import: "default" });
  return Object.entries(files).map(([path, lines]) => ({ name: path.replace(/^.*\/(.*)\.json$/, "$1"), lines }));
}
