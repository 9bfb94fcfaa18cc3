import { Tabs } from "radix-ui";
import { Suspense, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";
import { Mishap } from "../ui/Mishap";
import { hidePanel, showPanel, usePanel } from "./panel_state";
import { PANEL_TABS, type PanelProps } from "./tabs";

/** What is known beside the conversation, in tabs. On narrow screens it lies over the conversation until it is closed. */
export function SidePanel(about: PanelProps) {
  const { t } = useTranslation();
  const { tab, isShown, isDrawer } = usePanel();
  const here = PANEL_TABS.find((each) => each.id === tab) ?? PANEL_TABS[0];
  const panel = useRef<HTMLElement>(null);
  const wasDrawn = useRef(false);
  const isDrawn = isShown && isDrawer;
  useEffect(() => {
    if (isDrawn && !wasDrawn.current) panel.current?.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
    if (!isDrawn && wasDrawn.current) document.getElementById("panel-switch")?.focus();
    wasDrawn.current = isDrawn;
  }, [isDrawn]);
  useEffect(() => hideDrawer, []);
  useEffect(() => {
    if (!isDrawn) return;
    const onFocus = ({ target }: FocusEvent) => {
      if (target instanceof Element && panel.current && isBelow(target, panel.current)) hidePanel();
    };
    document.addEventListener("focusin", onFocus);
    return () => document.removeEventListener("focusin", onFocus);
  }, [isDrawn]);
  if (!isShown || here === undefined) return null;
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- Escape closes what lies over the page
    <aside
      ref={panel}
      aria-label={t("panel.label")}
      tabIndex={-1}
      onKeyDown={(event) => {
        const isInDialog = event.target instanceof Element && event.target.closest("dialog");
        if (event.key !== "Escape" || !isDrawer || event.defaultPrevented || isInDialog) return;
        event.preventDefault(); // the key would ask to stop the run as well
        hidePanel();
      }}
      className="flex min-h-0 w-[340px] flex-none flex-col border-l border-line bg-bg max-xl:fixed max-xl:inset-y-0 max-xl:right-0 max-xl:z-10 max-xl:w-[min(420px,100vw)] max-xl:shadow-soft"
    >
      <Tabs.Root value={here.id} onValueChange={showPanel} className="flex min-h-0 flex-1 flex-col">
        <div className="flex h-[54px] flex-none items-stretch border-b border-line pr-2 pl-3">
          <Tabs.List aria-label={t("panel.label")} className="flex min-w-0 flex-1 overflow-x-auto">
            {PANEL_TABS.map(({ id, title }) => (
              <Tabs.Trigger
                key={id}
                value={id}
                className="cursor-pointer border-b-2 border-transparent px-2.5 whitespace-nowrap text-muted -outline-offset-2 hover:text-text data-[state=active]:border-accent data-[state=active]:font-semibold data-[state=active]:text-text"
              >
                {t(title)}
              </Tabs.Trigger>
            ))}
          </Tabs.List>
          <button
            type="button"
            aria-label={t("panel.hide")}
            onClick={hidePanel}
            className="grid size-9 cursor-pointer place-items-center self-center rounded-sm text-muted hover:bg-sunken"
          >
            <Icon name="close" />
          </button>
        </div>
        <Tabs.Content value={here.id} className="min-h-0 flex-1 overflow-auto -outline-offset-2">
          <Mishap key={here.id}>
            <Suspense fallback={<p className="p-4 text-muted">{t("app.loading")}</p>}>
              <here.View {...about} />
            </Suspense>
          </Mishap>
        </Tabs.Content>
      </Tabs.Root>
    </aside>
  );
}

function hideDrawer(): void {
  if (!window.matchMedia("(min-width: 80rem)").matches) hidePanel();
}

/** True where what one works with could not be seen. */
function isBelow(target: Element, panel: Element): boolean {
  if (panel.contains(target) || target.closest("dialog, [role=dialog]")) return false;
  return target.getBoundingClientRect().right > panel.getBoundingClientRect().left;
}
