import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";
import { shortTime } from "../ui/time";

/** What is known of the run beside its conversation. */
export function RunFacts({ run }: { run: Run }) {
  const { t, i18n } = useTranslation();
  const facts = [
    [t("facts.provider"), run.provider],
    [t("facts.model"), run.model],
    [t("facts.started"), run.startedAt && shortTime(run.startedAt, i18n.language)],
    [t("facts.attempt"), run.attempt > 1 ? String(run.attempt) : null],
  ].filter((fact): fact is [string, string] => Boolean(fact[1]));
  return (
    <aside
      aria-label={t("facts.title")}
      className="w-[280px] flex-none overflow-auto border-l border-line p-4 max-xl:hidden"
    >
      <h2 className="mb-2 font-semibold">{t("facts.title")}</h2>
      <dl className="grid grid-cols-[auto_1fr] gap-x-4 gap-y-1">
        {facts.map(([name, value]) => (
          <div key={name} className="contents">
            <dt className="text-muted">{name}</dt>
            <dd className="text-right break-words">{value}</dd>
          </div>
        ))}
      </dl>
    </aside>
  );
}
