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
  const time = spanText(Math.floor(seconds / 15) * 15, i18n.language);
  const isUrgent = hint.says === "long" || hint.says === "overdue";
  return (
    <p className={`text-sm ${isUrgent ? "font-medium text-warn" : "text-muted"}`}>
      {t("ask.asked", { time })}{" "}
      {"deadline" in hint
        ? t(`ask.${hint.says}`, { time: shortTime(hint.deadline, i18n.language) })
        : t(hint.says === "long" ? "ask.long" : "ask.staysOpen")}
    </p>
  );
}
