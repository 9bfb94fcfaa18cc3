const TONES = {
  waiting: "bg-warn-line",
  running: "bg-accent ring-3 ring-accent-soft",
  queued: "border border-strong-line",
  failed: "bg-bad",
  unread: "bg-accent",
} as const;

/** A coloured point beside the words that say the same. */
export function Dot({ tone }: { tone: keyof typeof TONES }) {
  return <i aria-hidden className={`size-[7px] flex-none rounded-full ${TONES[tone]}`} />;
}
