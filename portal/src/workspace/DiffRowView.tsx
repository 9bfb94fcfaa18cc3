import type { DiffLine, DiffRow } from "./diff_rows";

const LOOKS = { same: "", added: "bg-add", removed: "bg-del" } as const;
const MARKS = { same: " ", added: "+", removed: "-" } as const;

export function DiffRowView({ row }: { row: DiffRow }) {
  if ("gap" in row) return <div className="h-full bg-sunken px-3 text-muted">{row.gap}</div>;
  if ("line" in row) return <Side line={row.line} />;
  return (
    <div className="grid h-full grid-cols-2">
      <Side line={row.before} />
      <Side line={row.after} />
    </div>
  );
}

function Side({ line }: { line: DiffLine | undefined }) {
  if (!line) return <div className="h-full bg-sunken" />;
  return (
    <div className={`flex h-full min-w-0 whitespace-pre ${LOOKS[line.kind]}`}>
      <span aria-hidden className="w-14 flex-none pr-3 text-right text-muted select-none">
        {line.number}
      </span>
      <span className="w-4 flex-none">{MARKS[line.kind]}</span>
      <bdi className="pr-3 [tab-size:2]">{line.text}</bdi>
    </div>
  );
}
