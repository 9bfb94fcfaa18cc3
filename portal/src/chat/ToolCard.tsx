import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { ToolBlock, ToolStatus } from "../events/blocks";
import { CodeBlock } from "../ui/CodeBlock";
import { durationOf } from "../ui/duration";
import { Icon, type IconName } from "../ui/Icon";
import { shownText } from "../ui/shown_text";
import { Diff } from "./Diff";
import { editsOf } from "./edits";
import type { Node } from "./rows";
import { ToolOutput } from "./ToolOutput";

const ICONS: Readonly<Record<string, IconName>> = {
  read: "read",
  edit: "edit",
  search: "search",
  fetch: "search",
  execute: "execute",
  think: "think",
};
const TONES: Readonly<Record<ToolStatus, string>> = {
  running: "text-accent",
  ok: "text-muted",
  error: "text-bad",
  denied: "text-bad",
  interrupted: "text-warn",
};

interface Props {
  runId: string;
  call: ToolBlock;
  /** What a sub-agent did for this call. */
  below: readonly Node[];
}

/** One deed of the agent: what, where, how long, how it ended; the rest opens in place. What it changes in files is always shown. */
export function ToolCard({ runId, call, below }: Props) {
  const { t, i18n } = useTranslation();
  const [isOpen, setIsOpen] = useState(false);
  const edits = call.does === "edit" ? editsOf(call.input) : [];
  const calls = below.flatMap(({ block, children }) => (block.kind === "tool" ? [{ block, children }] : []));
  const count = (name: "added" | "removed") => edits.reduce((sum, edit) => sum + edit[name], 0);
  const isShown = isOpen || call.status === "running";
  return (
    <div className="overflow-hidden rounded-md border border-line bg-panel shadow-soft">
      <button
        type="button"
        aria-expanded={isShown}
        onClick={() => setIsOpen(!isOpen)}
        className="flex w-full cursor-pointer items-center gap-2.5 px-3 py-2 text-left -outline-offset-2"
      >
        <span className="text-muted">
          <Icon name={calls.length > 0 ? "agent" : (ICONS[call.does] ?? "other")} />
        </span>
        <code className="min-w-0 truncate font-mono text-sm">{shownText(call.title)}</code>
        <span className="ml-auto flex flex-none gap-2 text-sm whitespace-nowrap">
          {edits.length > 0 && (
            <span aria-label={t("diff.count", { added: count("added"), removed: count("removed") })}>
              <span className="text-accent">+{count("added")}</span>{" "}
              <span className="text-bad">−{count("removed")}</span>
            </span>
          )}
          {call.endedAt !== undefined && (
            <span className="text-muted">{durationOf(call.at, call.endedAt, i18n.language)}</span>
          )}
          <span className={TONES[call.status]}>{t(`tool.${call.status}`)}</span>
        </span>
      </button>
      {edits.map((edit, place) => (
        <div key={place}>
          {edits.length > 1 && (
            <p className="border-t border-line px-3 py-1 font-mono text-sm">{shownText(edit.path)}</p>
          )}
          <Diff edit={edit} />
        </div>
      ))}
      {(isOpen || (isShown && commandIn(call.input) !== call.title)) && edits.length === 0 && (
        <ToolInput input={call.input} />
      )}
      {isShown && <ToolOutput runId={runId} call={call} />}
      {calls.length > 0 && (
        <div className="flex flex-col gap-2 border-t border-line bg-sunken p-3 pl-6">
          {calls.map(({ block, children }) => (
            <ToolCard key={block.key} runId={runId} call={block} below={children} />
          ))}
        </div>
      )}
    </div>
  );
}

/** A command as one writes it; of anything else, all that was given. */
function ToolInput({ input }: { input: unknown }) {
  if (input == null) return null;
  const command = commandIn(input);
  return (
    <div className="border-t border-line p-2">
      <CodeBlock
        code={shownText(command ?? JSON.stringify(input, null, 2))}
        language={command === undefined ? "json" : "bash"}
      />
    </div>
  );
}

function commandIn(input: unknown): string | undefined {
  const command = typeof input === "object" && input !== null && "command" in input ? input.command : undefined;
  return typeof command === "string" ? command : undefined;
}
