import { type ReactNode, useEffect, useId, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./Button";

interface Props {
  title: string;
  confirm: string;
  isBusy: boolean;
  children: ReactNode;
  onConfirm: () => void;
  onCancel: () => void;
}

/** Asks before what cannot be taken back. The focus goes to the way out, and back to where it was. */
export function ConfirmDialog({ title, confirm, isBusy, children, onConfirm, onCancel }: Props) {
  const { t } = useTranslation();
  const titleId = useId();
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={box}
      aria-labelledby={titleId}
      onCancel={onCancel}
      className="m-auto w-[min(440px,calc(100vw-2rem))] rounded-lg border border-line bg-panel p-5 text-text shadow-soft backdrop:bg-black/40"
    >
      <h2 id={titleId} className="mb-2 text-lg font-semibold">
        {title}
      </h2>
      {children}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onCancel}>{t("confirm.cancel")}</Button>
        <Button look="danger" disabled={isBusy} onClick={onConfirm}>
          {confirm}
        </Button>
      </div>
    </dialog>
  );
}
