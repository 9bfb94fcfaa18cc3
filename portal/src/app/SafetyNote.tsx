import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";
import { useLiveTail } from "../events/live_tail";
import { exactTime } from "../ui/time";
import { isSync, lastSyncQuery } from "./queries";

/** Up to when the files of a run's session are safe, or that they could not be saved. */
export function SafetyNote({ run }: { run: Run }) {
  const { t, i18n } = useTranslation();
  const told = useLiveTail(run.runId).findLast(isSync);
  const { data: logged } = useQuery({ ...lastSyncQuery(run.runId, run.lastSeq), enabled: !told });
  const sync = told ?? logged;
  if (!sync) return null;
  const at = exactTime(sync.ts, i18n.language);
  if (sync.type === "workspace.synced") return <span>{t("status.safe", { at })}</span>;
  return <span className="text-warn">{t("status.unsafe", { at })}</span>;
}
