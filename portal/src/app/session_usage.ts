import type { Run } from "../api/queries";
import type { Envelope } from "../events/envelope";

export type Usage = Readonly<Record<string, unknown>>;

/** Returns what a run has used by now: what its stream told last counts, it is younger than the list. */
export function usageOf(run: Run, tail: readonly Envelope[]): Usage {
  const told = run.finishedAt == null ? tail.findLast(({ type }) => type === "usage.update") : undefined;
  return told?.data ?? run.usage;
}

/** Returns the sum of what runs used, number by number. */
export function sumOf(usages: readonly Usage[]): Usage {
  const total: Record<string, number> = {};
  for (const usage of usages) {
    for (const [name, value] of Object.entries(usage)) {
      if (typeof value === "number") total[name] = (total[name] ?? 0) + value;
    }
  }
  return total;
}
