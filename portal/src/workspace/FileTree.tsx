import { useQueries } from "@tanstack/react-query";
import { type KeyboardEvent, type MouseEvent, useId, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { VirtualRows } from "../ui/VirtualRows";
import { folderQuery } from "./queries";
import { TreeLine } from "./TreeLine";
import { type Folder, treeMove, treeRows } from "./tree_rows";

interface Props {
  sessionId: string;
  onOpen: (path: string) => void;
}

const ROW = 28;

/** The files, a level at a time: a folder is read when it is opened. */
export function FileTree({ sessionId, onOpen }: Props) {
  const { t } = useTranslation();
  const id = useId();
  const box = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [current, setCurrent] = useState<string>();
  const [moved, setMoved] = useState<number>(); // by keys: what was pressed for is to be seen
  const paths = useMemo(() => ["", ...open], [open]);
  const folders = useQueries({
    queries: paths.map((path) => folderQuery(sessionId, path)),
    combine: (answers): ReadonlyMap<string, Folder> =>
      new Map(answers.map((each, at) => [paths[at] ?? "", { entries: each.data?.entries, failed: each.isError }])),
  });
  const rows = useMemo(() => treeRows(open, (path) => folders.get(path) ?? {}), [open, folders]);
  const at = Math.max(
    0,
    rows.findIndex((row) => row.path === current),
  );
  const toggle = (path: string) => {
    setOpen((before) =>
      before.has(path) ? new Set([...before].filter((each) => each !== path)) : new Set([...before, path]),
    );
  };
  const act = (place: number) => {
    const row = rows[place];
    if (row?.entry === undefined) return;
    setCurrent(row.path);
    if (row.entry.type === "dir") toggle(row.path);
    else onOpen(row.path);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const move = treeMove(rows, at, event.key);
    if (event.key === "Enter" || event.key === " ") act(at);
    else if (move?.toggle !== undefined) toggle(move.toggle);
    else if (move?.to !== undefined) {
      setCurrent(rows[move.to]?.path);
      setMoved(move.to);
    } else if (move === undefined) return;
    event.preventDefault();
  };
  const onClick = (event: MouseEvent) => {
    const line = event.target instanceof Element ? event.target.closest("[data-place]") : null;
    if (line) act(Number(line.getAttribute("data-place")));
  };
  return (
    <div
      ref={box}
      role="tree"
      aria-label={t("workspace.files")}
      aria-activedescendant={`${id}-${at}`}
      tabIndex={0}
      onKeyDown={onKeyDown}
      onClick={onClick}
      className="group min-h-0 flex-1 overflow-auto px-2 pb-3 -outline-offset-2"
    >
      <VirtualRows count={rows.length} height={ROW} box={box} shown={moved}>
        {(place) => {
          const row = rows[place];
          return row && <TreeLine id={`${id}-${place}`} place={place} row={row} isCurrent={place === at} />;
        }}
      </VirtualRows>
    </div>
  );
}
