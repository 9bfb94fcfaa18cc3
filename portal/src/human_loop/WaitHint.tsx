import { useTranslation } from "react-i18next";
import { spanText } from "../ui/duration";
import { shortTime } from "../ui/time";
import { useNow } from "../ui/use_now";
import { type Asked, hintOf } from "./asked";

const LOOK_AGAIN_MS = 15_000;

/** How long somebody has been waited for, and until when there is time. It says so and does nothing. */
export function WaitHint({ asked }: { asked: Asked }) {
  const { t, i18n } = useTranslation();
  const now = useNow(LOOK_AGAIN_MS);
  const hint = hintOf(asked, now);
  const seconds = Math.max(0, (now.getTime() - Date.parse(asked.createdAt)) / 1000);
  const steps = Math.floor(seconds / 15) * 15;
  const isUrgent = hint.says === "long" || hint.says === "overdue";
  return (
    <p className={`text-sm ${isUrgent ? "font-medium text-warn" : "text-muted"}`}>
      {steps === 0 ? t("ask.askedNow") : t("ask.asked", { time: spanText(steps, i18n.language) })}{" "}
      {"deadline" in hint
        ? t(`ask.${hint.says}`, { time: shortTime(hint.deadline, i18n.language) })
        : t(hint.says === "long" ? "ask.long" : "ask.staysOpen")}
    </p>
  );
}
