import { useTranslation } from "react-i18next";
import type { Origin } from "./queries";
import { momentText } from "./moment";

/** Where the files are read from, in words. */
export function OriginLine({ origin }: { origin: Origin }) {
  const { t, i18n } = useTranslation();
  const words =
    origin.source === "live"
      ? t("workspace.live")
      : origin.source === "snapshot" && origin.savedAt !== null
        ? t("workspace.saved", { time: momentText(origin.savedAt, i18n.language) })
        : t("workspace.none");
  return (
    <p role="status" className="text-sm text-muted">
      {words}
    </p>
  );
}
