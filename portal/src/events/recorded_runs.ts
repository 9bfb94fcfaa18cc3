import type { Facts } from "./blocks";
import type { Envelope } from "./envelope";

interface Recorded {
  readonly events: readonly Envelope[];
  /** What the server makes of them: the parts of a chat's message. */
  readonly parts: readonly Facts[];
}

interface RecordedRun extends Recorded {
  readonly name: string;
}

/** Recorded runs of a real agent, with the message that the server makes of them (`make portal-types` writes them). For tests. */
export function recordedRuns(): RecordedRun[] {
  const files = import.meta.glob<Recorded>("./recorded/*.json", { eager: true, import: "default" });
  return Object.entries(files).map(([path, run]) => ({ name: path.replace(/^.*\/(.*)\.json$/, "$1"), ...run }));
}
