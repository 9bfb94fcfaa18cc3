import { useTranslation } from "react-i18next";
import type { Schemas } from "../api/client";
import { spanText } from "../ui/duration";
import { useNow } from "../ui/use_now";

const REASONS = [
  "session_busy",
  "disk_full",
  "redis_full",
  "executor",
  "provider_unavailable",
  "retry",
  "worker",
  "no_worker",
  "sandbox",
  "human",
  "delivery",
] as const;
const LOOK_AGAIN_MS = 15_000;
const WORTH_TELLING_S = 3;

/** Why a run does not run, since when, and what can be done about it. */
export function WaitingLine({ waitingFor }: { waitingFor: Schemas["WaitingFor"] }) {
  const { t, i18n } = useTranslation();
  const now = useNow(LOOK_AGAIN_MS);
  const { reason, position, since, remedy } = waitingFor;
  const known = REASONS.find((each) => each === reason);
  const seconds = (now.getTime() - Date.parse(since)) / 1000;
  return (
    <p className="text-sm text-muted">
      {known ? t(`waiting.${known}`) : t("waiting.other", { reason })}
      {position != null && position > 0 && <> {t("waiting.position", { position })}</>}
      {seconds >= WORTH_TELLING_S && <> {t("waiting.since", { time: spanText(seconds, i18n.language) })}</>}
      {remedy != null && remedy !== "" && <> {remedy}</>}
    </p>
  );
}
