import { useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
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
  const titleId = useId();
  const box = useRef<HTMLDialogElement>(null);
  const shortcuts = useShortcuts();
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={box}
      aria-labelledby={titleId}
      onCancel={onClose}
      className="m-auto w-[min(440px,calc(100vw-2rem))] rounded-lg border border-line bg-panel p-5 text-text shadow-soft backdrop:bg-black/40"
    >
      <h2 id={titleId} className="mb-3 text-lg font-semibold">
        {t("shortcuts.title")}
      </h2>
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
    </dialog>
  );
}
