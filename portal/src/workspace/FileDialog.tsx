import { useEffect, useId, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { ChoiceGroup } from "../ui/ChoiceGroup";
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
  const titleId = useId();
  const box = useRef<HTMLDialogElement>(null);
  const { path, file } = opened;
  const [look, setLook] = useState<Look>(file ? "unified" : "content");
  useEffect(() => {
    const dialog = box.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  const isThere = file?.status !== "deleted";
  const choices = [
    ["unified", t("workspace.unified")],
    ["split", t("workspace.split")],
    ...(isThere ? ([["content", t("workspace.content")]] as const) : []),
  ] as const;
  return (
    <dialog
      ref={box}
      aria-labelledby={titleId}
      onCancel={onClose}
      className="m-auto flex h-[min(900px,92dvh)] max-h-none w-[min(1200px,94vw)] max-w-none flex-col rounded-lg border border-line bg-panel text-text shadow-soft backdrop:bg-black/40 max-sm:h-dvh max-sm:w-screen max-sm:rounded-none max-sm:border-0"
    >
      <header className="flex flex-wrap items-center gap-3 border-b border-line px-4 py-2.5">
        <h2 id={titleId} className="min-w-0 flex-1 basis-48 font-mono text-sm font-semibold break-all">
          <bdi>{shownName(path)}</bdi>
        </h2>
        {file?.additions != null && <LineCounts additions={file.additions} deletions={file.deletions ?? 0} />}
        {isThere && <DownloadLink href={downloadAddress(sessionId, path)}>{t("workspace.download")}</DownloadLink>}
        <Button look="quiet" aria-label={t("workspace.close")} onClick={onClose}>
          <Icon name="close" />
        </Button>
      </header>
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
    </dialog>
  );
}
