import { useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import { VirtualRows } from "../ui/VirtualRows";
import { DiffRowView } from "./DiffRowView";
import { type DiffRow, hunksOf, splitRows, unifiedRows } from "./diff_rows";
import { shownName } from "./names";
import type { ChangedFile } from "./queries";

interface Props {
  file: ChangedFile;
  isSplit: boolean;
}

const ROW = 20;

/** What changed in a file, line by line; of a long diff only the lines that are seen are there. */
export function DiffView({ file, isSplit }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const hunks = useMemo(() => hunksOf(file.patch ?? ""), [file.patch]);
  const rows = useMemo(() => (isSplit ? splitRows(hunks) : unifiedRows(hunks)), [hunks, isSplit]);
  const letters = useMemo(() => Math.max(0, ...rows.map(lettersOf)), [rows]);
  if (rows.length === 0) {
    const why = file.tooLarge ? "tooLarge" : file.binary ? "binaryChanged" : "noLines";
    return <p className="p-4 text-muted">{t(`workspace.${why}`)}</p>;
  }
  return (
    <div
      ref={box}
      role="group"
      aria-label={t("workspace.diffOf", { path: shownName(file.path) })}
      tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      className="min-h-0 flex-1 overflow-auto bg-code font-mono text-sm -outline-offset-2"
    >
      <div style={{ minWidth: `calc(${(isSplit ? 2 : 1) * letters}ch + ${isSplit ? 10 : 7}rem)` }}>
        <VirtualRows count={rows.length} height={ROW} box={box}>
          {(place) => {
            const row = rows[place];
            return row && <DiffRowView row={row} />;
          }}
        </VirtualRows>
      </div>
    </div>
  );
}

/** Columns that a row takes at most: letters of East Asia take two. */
function lettersOf(row: DiffRow): number {
  const texts =
    "gap" in row ? [row.gap] : "line" in row ? [row.line.text] : [row.before?.text ?? "", row.after?.text ?? ""];
  return Math.max(...texts.map((text) => text.length + (text.match(/[\u1100-\uFFFF\t]/g)?.length ?? 0)));
}
