import { useTranslation } from "react-i18next";
import { type NoteBlock, textOf } from "../events/blocks";
import { Icon } from "../ui/Icon";

/** An event that is neither word nor deed: a warning, or one of a type that this page does not know. */
export function NoteLine({ note }: { note: NoteBlock }) {
  const { t } = useTranslation();
  const { data } = note;
  switch (note.type) {
    case "run.warning":
      return <Told text={textOf(data, "message")} code={textOf(data, "code")} />;
    default:
      return (
        <details className="text-sm text-muted">
          <summary className="cursor-pointer">
            {t("chat.event")} <code className="font-mono">{note.type}</code>
          </summary>
          <pre className="mt-1 overflow-auto rounded-sm bg-code p-2 font-mono break-words whitespace-pre-wrap">
            {JSON.stringify(data, null, 2)}
          </pre>
        </details>
      );
  }
}

function Told({ text, code = "" }: { text: string; code?: string }) {
  return (
    <p className="flex gap-2 rounded-md border border-warn-line bg-warn-soft px-3 py-2">
      <span className="text-warn">
        <Icon name="warn" />
      </span>
      <span className="min-w-0 break-words">
        {text} {code !== "" && <code className="font-mono text-sm text-muted">{code}</code>}
      </span>
    </p>
  );
}
