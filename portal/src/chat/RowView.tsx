import { memo } from "react";
import { useTranslation } from "react-i18next";
import { Markdown } from "../ui/Markdown";
import { AskCard } from "./AskCard";
import { BlockMenu } from "./BlockMenu";
import { NoteLine } from "./NoteLine";
import { isSameRow, type Node, type Row } from "./rows";
import { Said } from "./Said";
import { Thinking } from "./Thinking";
import { ToolCard } from "./ToolCard";
import { TurnEnd } from "./TurnEnd";

interface Props {
  row: Row;
  isWanted: boolean;
  onRetry: (prompt: string) => void;
}

/** One row of a conversation. A row that would look the same is not rendered again, however often events come. */
export const RowView = memo(
  function RowView({ row, isWanted, onRetry }: Props) {
    const { t } = useTranslation();
    if (row.kind === "end") return <TurnEnd row={row} onRetry={onRetry} />;
    if (row.kind === "gap") return <Gap height={row.height} />;
    if (row.kind === "prompt") return <Said text={row.text} />;
    const { runId = "", node } = row;
    if (node.block.kind === "text" && node.block.isOfPerson === true) return <Said text={node.block.text} />;
    return (
      <article
        aria-label={t("chat.agent")}
        aria-current={isWanted ? "true" : undefined}
        className="group relative rounded-md aria-[current=true]:outline-2 aria-[current=true]:outline-offset-4 aria-[current=true]:outline-warn-line"
      >
        <Shown runId={runId} node={node} />
        <BlockMenu runId={runId} block={node.block} />
      </article>
    );
  },
  (a, b) => a.isWanted === b.isWanted && a.onRetry === b.onRetry && isSameRow(a.row, b.row),
);

/** Stands where messages are that are being read again. */
function Gap({ height }: { height: number }) {
  const { t } = useTranslation();
  return (
    <p data-gap className="grid place-items-center text-sm text-muted" style={{ height }}>
      {t("app.loading")}
    </p>
  );
}

function Shown({ runId, node }: { runId: string; node: Node }) {
  const { block } = node;
  switch (block.kind) {
    case "text":
      return <Markdown text={block.text} isGrowing={block.isGrowing} />;
    case "thinking":
      return <Thinking block={block} />;
    case "tool":
      return <ToolCard runId={runId} call={block} below={node.children} />;
    case "ask":
      return <AskCard block={block} />;
    case "note":
      return <NoteLine note={block} />;
  }
}
