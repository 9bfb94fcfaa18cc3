import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { chooseNotices, useNoticeState } from "./notices";

/** Has this browser say when somebody is waited for, or no longer. */
export function NoticeSwitch() {
  const { t } = useTranslation();
  const state = useNoticeState();
  if (state === "unsupported" || state === "refused") {
    return <p className="text-sm text-muted">{t(`notices.${state}`)}</p>;
  }
  return (
    <Button aria-pressed={state === "on"} onClick={() => void chooseNotices(state === "off")}>
      {t("notices.label")}
      <span className="text-muted">{t(`notices.${state}`)}</span>
    </Button>
  );
}
