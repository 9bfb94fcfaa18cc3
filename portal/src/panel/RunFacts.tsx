import { useTranslation } from "react-i18next";
import { shortTime } from "../ui/time";
import type { PanelProps } from "./tabs";

/** What is known of the run beside its conversation. */
export function RunFacts({ run }: PanelProps) {
  const { t, i18n } = useTranslation();
  const facts = [
    [t("facts.provider"), run?.provider],
    [t("facts.model"), run?.model],
    [t("facts.started"), run?.startedAt && shortTime(run.startedAt, i18n.language)],
    [t("facts.attempt"), run && run.attempt > 1 ? String(run.attempt) : null],
  ].filter((fact): fact is [string, string] => Boolean(fact[1]));
  if (!run) return <p className="p-4 text-muted">{t("facts.none")}</p>;
  return (
    <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1 p-4">
      {facts.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="text-right break-words">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
