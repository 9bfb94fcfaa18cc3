import { useTranslation } from "react-i18next";
import { useProviderName } from "./names";
import type { Provider } from "./queries";

interface Props {
  provider: Provider;
  isChosen: boolean;
  onChoose: () => void;
}

/** One agent to choose: its name and version, whether it is ready, and if not what to do. */
export function ProviderOption({ provider, isChosen, onChoose }: Props) {
  const { t } = useTranslation();
  const nameOf = useProviderName();
  const { kind, version, ready, message, remedy, breaker } = provider;
  const isFailing = breaker.state !== "closed";
  return (
    <label className="flex cursor-pointer gap-2 rounded-sm px-2 py-1.5 hover:bg-sunken has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:outline-accent">
      <input type="radio" name="provider" className="mt-1.5" checked={isChosen} onChange={onChoose} />
      <span className="min-w-0 flex-1">
        <span className="flex flex-wrap gap-x-2">
          <span className="font-medium">{nameOf(kind)}</span>
          {version !== null && <span className="text-muted">{version}</span>}
          <span className={`ml-auto ${ready && !isFailing ? "text-accent" : "text-warn"}`}>
            {isFailing ? t("providers.failing") : ready ? t("providers.ready") : t("providers.notReady")}
          </span>
        </span>
        {provider.scripted && kind !== "scripted" && (
          <span className="block text-sm text-warn">{t("providers.isScripted")}</span>
        )}
        {!ready && <span className="block text-sm text-muted">{[message, remedy].filter(Boolean).join(" ")}</span>}
        {isFailing && breaker.remedy != null && <span className="block text-sm text-muted">{breaker.remedy}</span>}
      </span>
    </label>
  );
}
