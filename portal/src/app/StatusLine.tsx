import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { useRoute } from "wouter";
import { useConnection } from "../chat/connection";
import { LANGUAGES } from "../i18n/i18n";
import { runsQuery } from "../timeline/queries";
import { SafetyNote } from "./SafetyNote";
import { UsageNote } from "./UsageNote";

/** Whether what is seen is what is, whether it is safe, what it costs: in words. */
export function StatusLine() {
  const { t, i18n } = useTranslation();
  const { state, seq } = useConnection();
  const [, chat] = useRoute("/chats/:chatId");
  const { data } = useQuery({ ...runsQuery(chat?.chatId ?? ""), enabled: chat !== null });
  const run = chat ? data?.items.find((each) => each.startedAt != null) : undefined;
  const tone = state === "live" ? "text-accent" : state === "ended" ? "" : "text-warn";
  return (
    <footer
      aria-label={t("status.label")}
      className="col-span-full flex items-center gap-4 overflow-hidden border-t border-line bg-panel px-4 text-sm whitespace-nowrap text-muted max-sm:hidden"
    >
      <span role="status" className={tone}>
        {t(`stream.${state}`)}
      </span>
      {seq > 0 && chat && <span>{t("status.event", { seq })}</span>}
      {run && <SafetyNote run={run} />}
      <span className="ml-auto flex gap-4">
        {run && <UsageNote run={run} runs={data?.nextCursor === null ? data.items : undefined} />}
        <span>{i18n.language === "zh" ? LANGUAGES.zh : LANGUAGES.en}</span>
      </span>
    </footer>
  );
}
