import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";
import { usageText } from "../chat/usage";
import { useLiveTail } from "../events/live_tail";
import { sumOf, type Usage, usageOf } from "./session_usage";

interface Props {
  run: Run;
  /** All runs of the session; not there where they are too many to know. */
  runs: readonly Run[] | undefined;
}

/** What the run used, and what the whole session did. */
export function UsageNote({ run, runs = [] }: Props) {
  const { t, i18n } = useTranslation();
  const usage = usageOf(run, useLiveTail(run.runId));
  const others = runs.filter((each) => each.runId !== run.runId).map((each) => each.usage);
  const words = (of: Usage) => usageText(of, i18n.language, t).join(" · ");
  const [mine, whole] = [words(usage), words(sumOf([...others, usage]))];
  return (
    <>
      {mine !== "" && <span>{t("status.run", { usage: mine })}</span>}
      {others.length > 0 && whole !== "" && <span>{t("status.session", { usage: whole })}</span>}
    </>
  );
}
