import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";
import { shownName, sizeText } from "./names";
import type { TreeRow } from "./tree_rows";

interface Props {
  id: string;
  place: number;
  row: TreeRow;
  isCurrent: boolean;
}

const STEP = 14;

export function TreeLine({ id, place, row, isCurrent }: Props) {
  const { t, i18n } = useTranslation();
  const { entry, isOpen } = row;
  return (
    <div
      id={id}
      data-place={place}
      role="treeitem"
      tabIndex={-1}
      aria-level={row.depth + 1}
      aria-selected={isCurrent}
      {...(isOpen !== undefined && { "aria-expanded": isOpen })}
      className={`flex h-full cursor-pointer items-center gap-1.5 rounded-sm pr-2 hover:bg-sunken ${isCurrent ? "group-focus-visible:bg-accent-soft" : ""}`}
      style={{ paddingLeft: 6 + row.depth * STEP }}
    >
      {entry ? (
        <>
          <span className="text-muted">
            <Icon name={isOpen === undefined ? "read" : isOpen ? "folderOpen" : "folder"} />
          </span>
          <bdi className="min-w-0 flex-1 truncate" title={shownName(entry.path)}>
            {shownName(entry.name)}
            {entry.target != null && <span className="text-muted"> → {shownName(entry.target)}</span>}
          </bdi>
          {entry.size != null && entry.type === "file" && (
            <span className="text-sm text-muted">{sizeText(entry.size, i18n.language)}</span>
          )}
        </>
      ) : (
        <span className="text-sm text-muted">{t(`workspace.folder.${row.note ?? "loading"}`)}</span>
      )}
    </div>
  );
}
