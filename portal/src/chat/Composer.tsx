import { type KeyboardEvent, type SyntheticEvent, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import { AgentChoice } from "../providers/AgentChoice";
import { Button } from "../ui/Button";
import { useShortcut } from "../ui/shortcuts";
import { useDraft } from "./drafts";

interface Props {
  chatId: string;
  /** A run is at work: what is sent waits in line behind it. */
  isBusy: boolean;
  /** Nothing was said yet: what is there to do is to say something. */
  isFirst: boolean;
  onSend: (text: string) => void;
  /** Tells the agent at work, which goes on with it; not there where none can listen. */
  onTell: ((text: string) => void) | undefined;
  onEscape: () => void;
}

export function Composer({ chatId, isBusy, isFirst, onSend, onTell, onEscape }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useDraft(chatId);
  const field = useRef<HTMLTextAreaElement>(null);
  const words = text.trim();
  useShortcut("m", t("chat.write"), () => field.current?.focus());
  useEffect(() => {
    if (isFirst && window.matchMedia("(pointer: fine)").matches) field.current?.focus(); // where it brings no keyboard up
  }, [isFirst]);
  const give = (to: (text: string) => void) => {
    if (words === "") return;
    to(words);
    setText("");
    field.current?.focus(); // the button that was pressed has nothing to send now
  };
  const send = () => give(onSend);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    send();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape") {
      event.preventDefault(); // or the question that it opens is closed by it
      onEscape();
    }
  };
  return (
    <form className="px-5 pb-4 xl:px-11 max-sm:px-3" onSubmit={submit}>
      <div className="mx-auto flex max-w-[760px] flex-col gap-2 rounded-lg border border-strong-line bg-panel p-3 shadow-soft has-[textarea:focus-visible]:border-accent has-[textarea:focus-visible]:outline-1 has-[textarea:focus-visible]:outline-accent">
        <textarea
          ref={field}
          aria-label={t("chat.composer")}
          placeholder={isBusy ? t("chat.placeholderBusy") : t("chat.placeholder")}
          rows={2}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
          className="field-sizing-content max-h-[40vh] resize-none bg-transparent outline-none placeholder:text-muted"
        />
        <div className="flex items-center gap-2 text-sm text-muted">
          <AgentChoice chatId={chatId} />
          <span className="mr-auto max-sm:hidden">{t("chat.sendHint")}</span>
          {onTell && (
            <Button
              className="max-sm:ml-auto"
              disabled={words === ""}
              title={t("chat.tellMeans")}
              onClick={() => give(onTell)}
            >
              {t("chat.tell")}
            </Button>
          )}
          <Button type="submit" look="primary" className={onTell ? "" : "max-sm:ml-auto"} disabled={words === ""}>
            {isBusy ? t("chat.queue") : t("chat.send")}
          </Button>
        </div>
      </div>
    </form>
  );
}
