import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { useLocation } from "wouter";
import { HistoryPane } from "../history/HistoryPane";
import { useActivity } from "../history/use_activity";
import { useNotices } from "../inbox/use_notices";
import { Mishap } from "../ui/Mishap";
import { Rail } from "./Rail";
import { ShortcutsHelp } from "./ShortcutsHelp";
import { StatusLine } from "./StatusLine";
import { useDocumentTitle } from "./use_document_title";

/** The frame of every page: rail, history, the page itself, status line. On narrow screens the history comes when it is asked for. */
export function Shell({ children }: { children: ReactNode }) {
  const { t } = useTranslation();
  const [location] = useLocation();
  const [historyAt, setHistoryAt] = useState<string>(); // shown until another page is opened
  const showsHistory = historyAt === location;
  const pending = useActivity()?.pending ?? 0;
  useDocumentTitle(pending);
  useNotices();
  return (
    <div className="grid h-full grid-cols-[52px_minmax(0,1fr)] grid-rows-[minmax(0,1fr)_30px] lg:grid-cols-[52px_268px_minmax(0,1fr)] max-sm:grid-cols-1 max-sm:grid-rows-[minmax(0,1fr)_52px]">
      <a href="#main" className="sr-only focus:not-sr-only focus:absolute focus:z-10 focus:bg-panel focus:p-2">
        {t("app.skip")}
      </a>
      <Rail
        showsHistory={showsHistory}
        onHistory={() => setHistoryAt(showsHistory ? undefined : location)}
        pending={pending}
      />
      <div
        className={`min-h-0 lg:contents ${showsHistory ? "max-lg:col-start-2 max-lg:row-start-1 max-sm:col-start-1" : "max-lg:hidden"}`}
      >
        <HistoryPane />
      </div>
      <div className={`min-h-0 min-w-0 ${showsHistory ? "max-lg:hidden" : ""} max-sm:col-start-1 max-sm:row-start-1`}>
        <Mishap key={location}>{children}</Mishap>
      </div>
      <StatusLine />
      <ShortcutsHelp />
    </div>
  );
}
