import { useInfiniteQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { problemOf } from "../api/problem";
import type { Run } from "../api/queries";
import type { Envelope } from "../events/envelope";
import { useLiveTail } from "../events/live_tail";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { EventDetail } from "./EventDetail";
import { EventList } from "./EventList";
import { type Kind, KIND_NAMES, typesOf } from "./kinds";
import { type Anchor, eventsQuery } from "./queries";
import { eventsOf } from "./rows";

/** Every event of a run, or those of one kind, from either end; what streams in is added while the run is at work. */
export function RunTimeline({ run, event }: { run: Run; event?: number }) {
  const { t } = useTranslation();
  const [kind, setKind] = useState<Kind>("all");
  const [anchor, setAnchor] = useState<Anchor>(event ?? "end");
  const [visit, setVisit] = useState(0); // going to an end again is another visit
  const [opened, setOpened] = useState<Envelope>();
  const types = typesOf(kind);
  const log = useInfiniteQuery(eventsQuery(run.runId, types, anchor));
  const tail = useLiveTail(run.runId);
  const { events, isJoined } = useMemo(() => eventsOf(log.data?.pages ?? [], tail, types), [log.data, tail, types]);
  const go = (to: Anchor) => {
    setAnchor(to);
    setVisit(visit + 1);
  };
  const mayRead = !log.isFetching && !log.error;
  const isAhead = !isJoined && (run.finishedAt != null || (tail.at(-1)?.seq ?? 0) > (events.at(-1)?.seq ?? 0));
  const isRemoved = log.error !== null && problemOf(log.error).code === "log_removed";
  return (
    <>
      <div className="flex flex-none flex-wrap items-center gap-1 px-3 py-2 text-sm">
        <select
          aria-label={t("timeline.kind")}
          value={kind}
          onChange={(choice) => setKind(choice.target.value as Kind)}
          className="mr-auto rounded-sm border border-line bg-panel px-2 py-1"
        >
          {KIND_NAMES.map((each) => (
            <option key={each} value={each}>
              {t(`kinds.${each}`)}
            </option>
          ))}
        </select>
        <Button look="quiet" onClick={() => go("start")}>
          {t("timeline.start")}
        </Button>
        <Button look="quiet" onClick={() => go("end")}>
          {t("timeline.end")}
        </Button>
      </div>
      {isRemoved && <p className="p-4 text-muted">{t("chat.logRemoved")}</p>}
      {log.error && !isRemoved && <ProblemNote error={log.error} onRetry={() => void log.refetch()} />}
      {log.isSuccess && events.length === 0 && <p className="p-4 text-muted">{t("timeline.none")}</p>}
      <EventList
        key={`${types} ${anchor} ${visit}`}
        events={events}
        anchor={anchor}
        isWhole={!log.hasNextPage || !isAhead}
        opened={opened?.seq}
        onOpen={(each) => setOpened(each.seq === opened?.seq ? undefined : each)}
        onNearStart={() => {
          if (mayRead && log.hasPreviousPage) void log.fetchPreviousPage();
        }}
        onNearEnd={() => {
          if (mayRead && log.hasNextPage && isAhead) void log.fetchNextPage();
        }}
      />
      {opened && (
        <EventDetail event={opened} since={run.startedAt ?? run.createdAt} onClose={() => setOpened(undefined)} />
      )}
    </>
  );
}
