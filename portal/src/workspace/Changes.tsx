import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { patchAddress } from "./addresses";
import { ChangeList } from "./ChangeList";
import { DownloadLink } from "./DownloadLink";
import { LineCounts } from "./LineCounts";
import { momentText } from "./moment";
import { type ChangedFile, changesQuery, type Snapshot } from "./queries";

interface Props {
  sessionId: string;
  /** Compared with this one; without it with the session's start. */
  since: Snapshot | undefined;
  onSinceStart: () => void;
  onOpen: (file: ChangedFile) => void;
}

/** What the session changed. */
export function Changes({ sessionId, since, onSinceStart, onOpen }: Props) {
  const { t, i18n } = useTranslation();
  const against = since?.snapshotId ?? null;
  const { data, error, refetch } = useQuery(changesQuery(sessionId, against));
  if (error) return <ProblemNote error={error} onRetry={() => void refetch()} />;
  if (!data) return <p className="px-4 text-muted">{t("app.loading")}</p>;
  const sum = (name: "additions" | "deletions") => data.files.reduce((all, file) => all + (file[name] ?? 0), 0);
  return (
    <>
      {since && (
        <p className="flex flex-wrap items-center gap-2 px-4 text-sm text-muted">
          {t("workspace.since", { time: momentText(since.createdAt, i18n.language) })}
          <Button look="quiet" onClick={onSinceStart}>
            {t("workspace.sinceStart")}
          </Button>
        </p>
      )}
      {data.files.length === 0 ? (
        <p className="px-4 text-muted">{t("workspace.unchanged")}</p>
      ) : (
        <>
          <div className="flex items-center gap-3 px-4">
            <span className="text-sm text-muted">{t("workspace.fileCount", { count: data.files.length })}</span>
            <LineCounts additions={sum("additions")} deletions={sum("deletions")} />
            <span className="ml-auto">
              {!data.truncated && (
                <DownloadLink href={patchAddress(sessionId, against)}>{t("workspace.patch")}</DownloadLink>
              )}
            </span>
          </div>
          {data.truncated && <p className="px-4 text-sm text-warn">{t("workspace.truncated")}</p>}
          <ChangeList files={data.files} onOpen={onOpen} />
        </>
      )}
    </>
  );
}
