import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { ChoiceGroup } from "../ui/ChoiceGroup";
import { Dialog } from "../ui/Dialog";
import { Icon } from "../ui/Icon";
import { downloadAddress } from "./addresses";
import { DiffView } from "./DiffView";
import { DownloadLink } from "./DownloadLink";
import { FilePreview } from "./FilePreview";
import { LineCounts } from "./LineCounts";
import { shownName } from "./names";
import type { ChangedFile } from "./queries";

/** A file that is looked at; `file` says what changed in it. */
export interface Opened {
  readonly path: string;
  readonly file?: ChangedFile;
}

interface Props {
  sessionId: string;
  opened: Opened;
  onClose: () => void;
}

type Look = "unified" | "split" | "content";

/** One file over the page: what changed in it, or what it holds. */
export function FileDialog({ sessionId, opened, onClose }: Props) {
  const { t } = useTranslation();
  const { path, file } = opened;
  const [look, setLook] = useState<Look>(file ? "unified" : "content");
  const isThere = file?.status !== "deleted";
  const choices = [
    ["unified", t("workspace.unified")],
    ["split", t("workspace.split")],
    ...(isThere ? ([["content", t("workspace.content")]] as const) : []),
  ] as const;
  const aside = (
    <>
      {file?.additions != null && <LineCounts additions={file.additions} deletions={file.deletions ?? 0} />}
      {isThere && <DownloadLink href={downloadAddress(sessionId, path)}>{t("workspace.download")}</DownloadLink>}
      <Button look="quiet" aria-label={t("workspace.close")} onClick={onClose}>
        <Icon name="close" />
      </Button>
    </>
  );
  return (
    <Dialog size="page" title={<bdi>{shownName(path)}</bdi>} aside={aside} onClose={onClose}>
      {file && (
        <div className="border-b border-line px-4 py-2">
          <ChoiceGroup label={t("workspace.look")} choices={choices} value={look} onChoose={setLook} />
        </div>
      )}
      {file && look !== "content" ? (
        <DiffView file={file} isSplit={look === "split"} />
      ) : (
        <FilePreview sessionId={sessionId} path={path} />
      )}
    </Dialog>
  );
}
