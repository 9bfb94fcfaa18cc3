import { useTranslation } from "react-i18next";
import { useConnection } from "../chat/connection";

/** Whether what is seen is what is: the state of the live stream, in words. */
export function StatusLine() {
  const { t } = useTranslation();
  const { state, seq } = useConnection();
  const tone = state === "live" ? "text-accent" : state === "ended" ? "" : "text-warn";
  return (
    <footer
      aria-label={t("status.label")}
      className="col-span-full flex items-center gap-4 overflow-hidden border-t border-line bg-panel px-4 text-sm whitespace-nowrap text-muted max-sm:hidden"
    >
      <span role="status" className={tone}>
        {t(`stream.${state}`)}
      </span>
      {seq > 0 && <span>{t("status.event", { seq })}</span>}
    </footer>
  );
}
