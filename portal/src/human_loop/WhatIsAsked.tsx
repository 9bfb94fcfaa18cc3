import { useTranslation } from "react-i18next";
import { Diff } from "../chat/Diff";
import { editsOf } from "../chat/edits";
import { shownText } from "../ui/shown_text";
import type { Asked } from "./asked";

/** Exactly what would be done: the command, the change of a file, or all that the tool was given. */
export function WhatIsAsked({ asked }: { asked: Asked }) {
  const { t } = useTranslation();
  const { name, kind, input } = asked.toolCall ?? {};
  const edits = kind === "edit" ? editsOf(input) : [];
  const command = textIn(input, "command");
  const cwd = textIn(input, "cwd");
  const told = command ?? (isEmpty(input) || edits.length > 0 ? undefined : JSON.stringify(input, null, 2));
  return (
    <>
      {!tellsOnly(asked.title, command) && <p className="font-medium break-words">{shownText(asked.title)}</p>}
      {edits.map((edit, place) => (
        <div key={place} className="overflow-hidden rounded-sm border border-line bg-panel">
          <p className="px-3 py-1 font-mono text-sm break-all">{shownText(edit.path)}</p>
          <Diff edit={edit} />
        </div>
      ))}
      {told !== undefined && (
        <pre
          aria-label={name === undefined ? t("tool.input") : shownText(name)}
          tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
          className="max-h-60 overflow-auto rounded-sm border border-line bg-panel px-3 py-2 font-mono text-sm break-words whitespace-pre-wrap"
        >
          {shownText(told)}
        </pre>
      )}
      {cwd !== undefined && <p className="text-sm text-muted">{t("ask.where", { path: shownText(cwd) })}</p>}
    </>
  );
}

/** True for a title that is the command once more: it is below, as it would be run. */
function tellsOnly(title: string, command: string | undefined): boolean {
  return command !== undefined && title.replace(/^Run: /, "") === command;
}

function textIn(input: unknown, name: string): string | undefined {
  const value = typeof input === "object" && input !== null ? (input as Record<string, unknown>)[name] : undefined;
  return typeof value === "string" ? value : undefined;
}

function isEmpty(input: unknown): boolean {
  return input == null || (typeof input === "object" && Object.keys(input).length === 0);
}
