import { useTranslation } from "react-i18next";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { ProblemNote } from "../ui/ProblemNote";
import { useStop } from "./use_stop";

interface Props {
  chatId: string;
  runId: string;
  onDone: () => void;
}

/** Asks before a run is stopped: what it was doing is not finished by another. */
export function StopQuestion({ chatId, runId, onDone }: Props) {
  const { t } = useTranslation();
  const stop = useStop(chatId);
  return (
    <ConfirmDialog
      title={t("stop.title")}
      confirm={t("stop.confirm")}
      isBusy={stop.isPending}
      onConfirm={() => stop.mutate(runId, { onSuccess: onDone })}
      onCancel={onDone}
    >
      <p>{t("stop.note")}</p>
      {stop.error && <ProblemNote error={stop.error} />}
    </ConfirmDialog>
  );
}
