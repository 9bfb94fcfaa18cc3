import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { VirtualRows } from "../ui/VirtualRows";
import { LineCounts } from "./LineCounts";
import { shownName } from "./names";
import type { ChangedFile } from "./queries";

interface Props {
  files: readonly ChangedFile[];
  onOpen: (file: ChangedFile) => void;
}

const ROW = 32;

export function ChangeList({ files, onOpen }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  return (
    <div ref={box} className="min-h-0 flex-1 overflow-auto px-2 pb-3">
      <VirtualRows count={files.length} height={ROW} box={box}>
        {(place) => {
          const file = files[place];
          return (
            file && (
              <button
                type="button"
                onClick={() => onOpen(file)}
                className="flex h-full w-full cursor-pointer items-center gap-2 rounded-sm px-2 text-left -outline-offset-2 hover:bg-sunken"
              >
                <bdi
                  className={`min-w-0 flex-1 truncate font-mono text-sm ${file.status === "deleted" ? "line-through" : ""}`}
                  title={shownName(file.path)}
                >
                  {shownName(file.path)}
                </bdi>
                {file.status !== "modified" && (
                  <span className="text-sm text-muted">{t(`workspace.file.${file.status}`)}</span>
                )}
                {file.additions == null ? (
                  <span className="text-sm text-muted">{t("workspace.binary")}</span>
                ) : (
                  <LineCounts additions={file.additions} deletions={file.deletions ?? 0} />
                )}
              </button>
            )
          );
        }}
      </VirtualRows>
    </div>
  );
}
