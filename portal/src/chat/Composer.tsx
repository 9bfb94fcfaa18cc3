import { type KeyboardEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";

interface Props {
  isBusy: boolean;
  onSend: (text: string) => void;
}

export function Composer({ isBusy, onSend }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const canSend = !isBusy && text.trim() !== "";
  const send = () => {
    if (!canSend) return;
    onSend(text.trim());
    setText("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.nativeEvent.isComposing) send();
  };
  return (
    <form
      className="px-5 pb-4 max-sm:px-3"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <div className="mx-auto flex max-w-[760px] flex-col gap-2 rounded-lg border border-strong-line bg-panel p-3 shadow-soft focus-within:border-accent">
        <textarea
          aria-label={t("chat.composer")}
          placeholder={t("chat.placeholder")}
          rows={2}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
          className="field-sizing-content max-h-[40vh] resize-none bg-transparent outline-none placeholder:text-muted"
        />
        <div className="flex items-center gap-3 text-sm text-muted">
          <span className="max-sm:hidden">{t("chat.sendHint")}</span>
          <Button type="submit" look="primary" className="ml-auto" disabled={!canSend}>
            {t("chat.send")}
          </Button>
        </div>
      </div>
    </form>
  );
}
