import type { components } from "./schema";

type Told = components["schemas"]["Problem"];

/** What proxies say where the server is away. */
const AWAY: readonly number[] = [502, 503, 504];

/** An error as the server tells it (RFC 9457), or one of the way there. `remedy` is for the person. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly remedy: string;
  readonly requestId: string;

  constructor(told: Pick<Told, "code" | "status" | "detail"> & Partial<Told>) {
    super(told.detail);
    this.name = "Problem";
    this.code = told.code;
    this.status = told.status;
    this.remedy = told.remedy ?? "";
    this.requestId = told.requestId ?? "";
  }
}

/** Whatever was thrown or answered, as a Problem. `status` 0: no answer came. */
export function problemOf(thrown: unknown, status = 0): Problem {
  if (thrown instanceof Problem) return thrown;
  if (isTold(thrown)) return new Problem(thrown);
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new Problem({ code: status === 0 ? "no_answer" : "no_problem", status, detail });
}

/** Whether nothing of Paddock answered: nobody at all, or what stands before it. */
export function isAway(error: unknown): boolean {
  const { status, code } = problemOf(error);
  return status === 0 || (code === "no_problem" && AWAY.includes(status));
}

function isTold(value: unknown): value is Told {
  return typeof value === "object" && value !== null && "code" in value && "detail" in value && "status" in value;
}
