import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";
import { useShortcut } from "../ui/shortcuts";
import { togglePanel, usePanel } from "./panel_state";

export function PanelSwitch() {
  const { t } = useTranslation();
  const { isShown } = usePanel();
  useShortcut("]", t("panel.toggle"), togglePanel);
  return (
    <button
      id="panel-switch"
      type="button"
      aria-label={t("panel.toggle")}
      aria-expanded={isShown}
      onClick={togglePanel}
      className="grid size-9 flex-none cursor-pointer place-items-center rounded-sm text-muted hover:bg-sunken aria-expanded:text-accent"
    >
      <Icon name="panel" />
    </button>
  );
}
