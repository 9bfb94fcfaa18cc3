import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { PanelProps } from "../panel/tabs";
import { ChoiceGroup } from "../ui/ChoiceGroup";
import { ProblemNote } from "../ui/ProblemNote";
import { downloadAddress } from "./addresses";
import { Changes } from "./Changes";
import { DownloadLink } from "./DownloadLink";
import { FileDialog, type Opened } from "./FileDialog";
import { FileTree } from "./FileTree";
import { OriginLine } from "./OriginLine";
import { folderQuery, type Snapshot } from "./queries";
import { Snapshots } from "./Snapshots";

type View = "files" | "changes" | "snapshots";

/** The session's files, to look at: live or from the newest snapshot. Looking starts no sandbox. */
export default function WorkspaceTab({ sessionId }: PanelProps) {
  const { t } = useTranslation();
  const [view, setView] = useState<View>("files");
  const [since, setSince] = useState<Snapshot>();
  const [opened, setOpened] = useState<Opened>();
  const root = useQuery(folderQuery(sessionId, ""));
  if (root.error) return <ProblemNote error={root.error} onRetry={() => void root.refetch()} />;
  if (!root.data) return <p className="p-4 text-muted">{t("app.loading")}</p>;
  const choices = [
    ["files", t("workspace.files")],
    ["changes", t("workspace.changes")],
    ["snapshots", t("workspace.snapshots")],
  ] as const;
  const showsFiles = view === "files" && root.data.entries.length > 0;
  return (
    <div className="flex h-full flex-col gap-3 pt-3">
      <div className="flex flex-col gap-2 px-4">
        <ChoiceGroup label={t("workspace.view")} choices={choices} value={view} onChoose={setView} />
        <div className="flex min-h-8 items-center justify-between gap-3">
          <OriginLine origin={root.data} />
          {showsFiles && <DownloadLink href={downloadAddress(sessionId)}>{t("workspace.downloadAll")}</DownloadLink>}
        </div>
      </div>
      {showsFiles && <FileTree sessionId={sessionId} onOpen={(path) => setOpened({ path })} />}
      {view === "changes" && (
        <Changes
          sessionId={sessionId}
          since={since}
          onSinceStart={() => setSince(undefined)}
          onOpen={(file) => setOpened({ path: file.path, file })}
        />
      )}
      {view === "snapshots" && (
        <Snapshots
          sessionId={sessionId}
          onCompare={(snapshot) => {
            setSince(snapshot);
            setView("changes");
          }}
        />
      )}
      {opened && (
        <FileDialog key={opened.path} sessionId={sessionId} opened={opened} onClose={() => setOpened(undefined)} />
      )}
    </div>
  );
}
