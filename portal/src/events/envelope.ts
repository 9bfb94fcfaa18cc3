/** One line of a run's log as the server sends it. Types that this page does not know come too, and are shown. */
export interface Envelope {
  readonly id: string;
  readonly runId: string;
  readonly sessionId: string;
  readonly seq: number;
  readonly ts: string;
  readonly type: string;
  readonly attempt: number;
  readonly traceId: string;
  readonly data: Readonly<Record<string, unknown>>;
}
