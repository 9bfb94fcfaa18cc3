import { useLayoutEffect, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";
import type { Message } from "../events/message";
import { Button } from "../ui/Button";
import { TurnView } from "./TurnView";
import { turnsOf } from "./turns";

interface Props {
  runs: readonly Run[];
  messages: readonly Message[];
  isPending: boolean;
  onEarlier?: () => void;
}

const NEAR_END_PX = 80;

/** The turns of a chat. It stays at its end while the reader is there, and where the reader is otherwise. */
export function Conversation({ runs, messages, isPending, onEarlier }: Props) {
  const { t } = useTranslation();
  const turns = useMemo(() => turnsOf(runs, messages), [runs, messages]);
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    const content = box.current?.firstElementChild;
    if (!content) return;
    const observer = new ResizeObserver(() => {
      if (isAtEnd.current && box.current) box.current.scrollTop = box.current.scrollHeight;
    });
    observer.observe(content);
    return () => observer.disconnect();
  }, []);
  const onScroll = () => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = box.current ?? {};
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  };
  return (
    <div
      ref={box}
      onScroll={onScroll}
      role="log"
      aria-label={t("chat.conversation")}
      tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      className="min-h-0 flex-1 overflow-auto px-5 py-6 [overflow-anchor:auto] max-sm:px-3"
    >
      <div className="mx-auto flex max-w-[760px] flex-col gap-4">
        {onEarlier && (
          <Button look="quiet" className="self-center" onClick={onEarlier}>
            {t("chat.earlier")}
          </Button>
        )}
        {turns.map((turn) => (
          <TurnView key={turn.key} turn={turn} />
        ))}
        {!isPending && turns.length === 0 && <p className="py-[20vh] text-center text-muted">{t("chat.empty")}</p>}
      </div>
    </div>
  );
}
