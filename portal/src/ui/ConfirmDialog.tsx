import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "./Button";
import { Dialog } from "./Dialog";

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
  return (
    <Dialog title={title} onClose={onCancel}>
      {children}
      <div className="mt-4 flex justify-end gap-2">
        <Button onClick={onCancel}>{t("confirm.cancel")}</Button>
        <Button look="danger" disabled={isBusy} onClick={onConfirm}>
          {confirm}
        </Button>
      </div>
    </Dialog>
  );
}
