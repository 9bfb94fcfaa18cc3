import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";

interface Props {
  title: string;
  onDone: (title: string | null) => void;
}

const LONGEST = 200;

/** A chat's title as a field. Enter and leaving it keep what was written, Escape does not. */
export function RenameForm({ title, onDone }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState(title);
  const field = useRef<HTMLInputElement>(null);
  const isDone = useRef(false);
  useEffect(() => {
    field.current?.focus();
    field.current?.select();
  }, []);
  const finish = (kept: string | null) => {
    if (isDone.current) return; // leaving the field follows Enter
    isDone.current = true;
    onDone(kept === null || kept.trim() === title ? null : kept.trim());
  };
  return (
    <form
      className="px-1.5 py-1"
      onSubmit={(event) => {
        event.preventDefault();
        finish(text);
      }}
    >
      <input
        ref={field}
        aria-label={t("history.newTitle")}
        maxLength={LONGEST}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onBlur={() => finish(text)}
        onKeyDown={(event) => {
          if (event.key === "Escape") finish(null);
        }}
        className="w-full rounded-sm border border-accent bg-panel px-2 py-1"
      />
    </form>
  );
}
