import { useTranslation } from "react-i18next";
import { type NoteBlock, textOf } from "../events/blocks";
import { Icon } from "../ui/Icon";
import { shownText } from "../ui/shown_text";
import { exactTime } from "../ui/time";

/** An event that is neither word nor deed: a warning, what an attempt knows of before, or one of a type that this page does not know. */
export function NoteLine({ note }: { note: NoteBlock }) {
  const { t } = useTranslation();
  const { data } = note;
  switch (note.type) {
    case "run.warning":
      return <Warning text={textOf(data, "message")} code={textOf(data, "code")} />;
    case "workspace.sync_failed":
      return <Unsaved error={textOf(data, "error")} retryAt={textOf(data, "retryAt")} />;
    case "context.restored":
      return <Context mode={textOf(data, "mode")} attempt={note.attempt ?? 1} />;
    default:
      return (
        <details className="text-sm text-muted">
          <summary className="cursor-pointer">
            {t("chat.event")} <code className="font-mono">{shownText(note.type)}</code>
          </summary>
          <pre className="mt-1 overflow-auto rounded-sm bg-code p-2 font-mono break-words whitespace-pre-wrap">
            {shownText(JSON.stringify(data, null, 2))}
          </pre>
        </details>
      );
  }
}

interface WarningProps {
  text: string;
  code?: string;
  remedy?: string;
}

function Warning({ text, code = "", remedy = "" }: WarningProps) {
  return (
    <p className="flex gap-2 rounded-md border border-warn-line bg-warn-soft px-3 py-2">
      <span className="text-warn">
        <Icon name="warn" />
      </span>
      <span className="min-w-0 break-words">
        {shownText(text)} {code !== "" && <code className="font-mono text-sm text-muted">{shownText(code)}</code>}
        {remedy !== "" && <span className="block text-muted">{remedy}</span>}
      </span>
    </p>
  );
}

function Unsaved({ error, retryAt }: { error: string; retryAt: string }) {
  const { t, i18n } = useTranslation();
  const again = retryAt === "" ? "" : t("note.unsavedAgain", { time: exactTime(retryAt, i18n.language) });
  return <Warning text={t("note.unsaved", { error })} remedy={`${again} ${t("note.unsavedRemedy")}`.trim()} />;
}

const CONTEXTS = ["fresh", "native_resume", "history_replay"] as const;

function Context({ mode, attempt }: { mode: string; attempt: number }) {
  const { t } = useTranslation();
  const known = CONTEXTS.find((each) => each === mode);
  return (
    <p className="text-sm text-muted">
      {attempt > 1 && <>{t("note.attempt", { attempt })} </>}
      {known ? t(`context.${known}`) : t("context.other", { mode: shownText(mode) })}
    </p>
  );
}
