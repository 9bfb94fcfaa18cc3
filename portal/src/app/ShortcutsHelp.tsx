import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { Dialog } from "../ui/Dialog";
import { useShortcut, useShortcuts } from "../ui/shortcuts";

/** What the keys do here and now; `?` shows it. */
export function ShortcutsHelp() {
  const { t } = useTranslation();
  const [isShown, setIsShown] = useState(false);
  useShortcut("?", t("shortcuts.show"), () => setIsShown(true));
  return isShown && <Overlay onClose={() => setIsShown(false)} />;
}

function Overlay({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const shortcuts = useShortcuts();
  return (
    <Dialog title={t("shortcuts.title")} onClose={onClose}>
      <dl className="mb-4 grid grid-cols-[auto_1fr] items-center gap-x-4 gap-y-2">
        {shortcuts.map(({ keys, does }) => (
          <div key={keys} className="contents">
            <dt className="flex gap-1">
              {keys.split(" ").map((key) => (
                <kbd
                  key={key}
                  className="min-w-6 rounded-sm border border-line bg-sunken px-1.5 text-center font-mono text-sm"
                >
                  {key}
                </kbd>
              ))}
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <Button onClick={onClose}>{t("shortcuts.close")}</Button>
    </Dialog>
  );
}
