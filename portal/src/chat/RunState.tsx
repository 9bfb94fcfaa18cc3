import { useTranslation } from "react-i18next";
import type { Key } from "../i18n/en";

const STATES = ["queued", "claimed", "running", "waiting_human", "succeeded", "failed", "canceled", "blocked"] as const;
const TONES: Partial<Record<string, string>> = {
  waiting_human: "bg-warn-soft text-warn",
  failed: "bg-bad-soft text-bad",
  blocked: "bg-bad-soft text-bad",
};

interface Props {
  status: string;
  /** Tells changes to those who cannot see them. */
  isSpoken?: boolean;
}

/** A run's state in words. */
export function RunState({ status, isSpoken = false }: Props) {
  const { t } = useTranslation();
  const known = STATES.find((state) => state === status);
  return (
    <span
      role={isSpoken ? "status" : undefined}
      className={`rounded-full px-2.5 text-sm font-medium whitespace-nowrap ${TONES[status] ?? "bg-accent-soft text-accent"}`}
    >
      {known ? t(`run.${known}` satisfies Key) : t("run.unknown", { status })}
    </span>
  );
}
