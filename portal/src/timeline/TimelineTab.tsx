import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearch } from "wouter";
import { wantedEvent } from "../chat/event_link";
import type { PanelProps } from "../panel/tabs";
import { ProblemNote } from "../ui/ProblemNote";
import { shownText } from "../ui/shown_text";
import { RunTimeline } from "./RunTimeline";
import { runsQuery } from "./queries";

/** The log of one run of the session: of the one that the chat shows, or of one that was chosen. `?event=<run>:<seq>` leads to an event. */
export default function TimelineTab({ sessionId, run }: PanelProps) {
  const { t } = useTranslation();
  const wanted = wantedEvent(useSearch());
  const [chosen, setChosen] = useState(wanted?.runId);
  const runs = useQuery({ ...runsQuery(sessionId), refetchOnMount: "always" });
  const items = runs.data?.items ?? [];
  const shown = items.find((each) => each.runId === chosen) ?? run;
  if (runs.error) return <ProblemNote error={runs.error} onRetry={() => void runs.refetch()} />;
  if (!shown) return <p className="p-4 text-muted">{t("facts.none")}</p>;
  const options = items.some((each) => each.runId === shown.runId) ? items : [shown, ...items];
  const event = shown.runId === wanted?.runId ? wanted.seq : 0;
  return (
    <div className="flex h-full min-h-0 flex-col">
      <label className="flex flex-none items-center gap-2 px-3 pt-3 text-sm text-muted">
        {t("timeline.run")}
        <select
          value={shown.runId}
          onChange={(choice) => setChosen(choice.target.value)}
          className="min-w-0 flex-1 rounded-sm border border-line bg-panel px-2 py-1 text-text"
        >
          {options.map((each) => (
            <option key={each.runId} value={each.runId}>
              {shownText(each.prompt.slice(0, 60))}
            </option>
          ))}
        </select>
      </label>
      <RunTimeline key={shown.runId} run={shown} {...(event > 0 && { event })} />
    </div>
  );
}
