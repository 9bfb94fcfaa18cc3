import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";

const STATES = ["queued", "claimed", "running", "waiting_human", "succeeded", "failed", "canceled", "blocked"] as const;
const TONES: Partial<Record<string, string>> = {
  waiting_human: "bg-warn-soft text-warn",
  failed: "bg-bad-soft text-bad",
  blocked: "bg-bad-soft text-bad",
};

/** A run's state in words. */
export function RunState({ run }: { run: Run }) {
  const { t } = useTranslation();
  const known = STATES.find((state) => state === run.status);
  return (
    <span
      role="status"
      className={`rounded-full px-2.5 text-sm font-medium whitespace-nowrap ${TONES[run.status] ?? "bg-accent-soft text-accent"}`}
    >
      {known ? t(`run.${known}`) : t("run.unknown", { status: run.status })}
    </span>
  );
}
