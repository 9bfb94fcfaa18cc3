import { useInfiniteQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { momentText } from "./moment";
import { sizeText } from "./names";
import { type Snapshot, snapshotsQuery } from "./queries";

interface Props {
  sessionId: string;
  onCompare: (snapshot: Snapshot) => void;
}

const REASONS = ["seed", "found", "salvage", "message.stop", "run.finished", "stop", "wish"] as const;

/** What was saved, and when. */
export function Snapshots({ sessionId, onCompare }: Props) {
  const { t, i18n } = useTranslation();
  const { data, error, refetch, hasNextPage, fetchNextPage } = useInfiniteQuery(snapshotsQuery(sessionId));
  if (error) return <ProblemNote error={error} onRetry={() => void refetch()} />;
  if (!data) return <p className="px-4 text-muted">{t("app.loading")}</p>;
  const snapshots = data.pages.flatMap((page) => page.items);
  if (snapshots.length === 0) return <p className="px-4 text-muted">{t("workspace.noSnapshots")}</p>;
  return (
    <ul className="min-h-0 flex-1 overflow-auto px-4 pb-3">
      {snapshots.map((snapshot) => {
        const reason = REASONS.find((each) => each === snapshot.reason);
        const time = momentText(snapshot.createdAt, i18n.language);
        return (
          <li key={snapshot.snapshotId} className="flex items-center gap-3 border-b border-line py-2">
            <div className="min-w-0 flex-1">
              <time dateTime={snapshot.createdAt} className="font-medium">
                {time}
              </time>{" "}
              <span>{reason ? t(`workspace.reason.${reason}`) : snapshot.reason}</span>
              <p className="text-sm text-muted">
                {t("workspace.fileCount", { count: snapshot.files })} · {sizeText(snapshot.bytes, i18n.language)}
              </p>
            </div>
            <Button aria-label={t("workspace.changesSince", { time })} onClick={() => onCompare(snapshot)}>
              {t("workspace.compare")}
            </Button>
          </li>
        );
      })}
      {hasNextPage && (
        <li>
          <Button look="quiet" onClick={() => void fetchNextPage()}>
            {t("workspace.more")}
          </Button>
        </li>
      )}
    </ul>
  );
}
