import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { ProblemNote } from "../ui/ProblemNote";
import { ItemLink } from "./ItemLink";
import { ItemMenu } from "./ItemMenu";
import type { Chat } from "./queries";
import { RenameForm } from "./RenameForm";
import { useChatChanges } from "./use_chat_changes";
import { shownText } from "../ui/shown_text";

/** A chat of the list and what can be done with it. F2 renames. */
export function HistoryItem({ chat, onProblem }: { chat: Chat; onProblem: (error: unknown) => void }) {
  const { t } = useTranslation();
  const [asks, setAsks] = useState<"title" | "deletion">();
  const { change, remove } = useChatChanges(chat.chatId);
  const title = shownText(chat.title) || t("history.untitled");
  const rename = (wanted: string | null) => {
    setAsks(undefined);
    if (wanted !== null) change.mutate({ title: wanted }, { onError: onProblem });
  };
  const box = useRef<HTMLDivElement>(null);
  const hadField = useRef(false);
  useEffect(() => {
    const isLost = document.activeElement === document.body; // or one went on to something else
    if (hadField.current && isLost) box.current?.querySelector("a")?.focus();
    hadField.current = asks === "title";
  }, [asks]);
  if (asks === "title") return <RenameForm title={chat.title} onDone={rename} />;
  return (
    // eslint-disable-next-line jsx-a11y/no-static-element-interactions -- the keys are those of the link in it
    <div
      ref={box}
      data-chat={chat.chatId}
      className="group relative"
      onKeyDown={(event) => {
        if (event.key === "F2") setAsks("title");
      }}
    >
      <ItemLink chat={chat} />
      <ItemMenu
        title={title}
        isArchived={chat.archived}
        onRename={() => setAsks("title")}
        onArchive={() => change.mutate({ archived: !chat.archived }, { onError: onProblem })}
        onDelete={() => setAsks("deletion")}
      />
      {asks === "deletion" && (
        <ConfirmDialog
          title={t("history.deleteTitle", { title })}
          confirm={t("history.delete")}
          isBusy={remove.isPending}
          onConfirm={() => remove.mutate()}
          onCancel={() => setAsks(undefined)}
        >
          <p>{t("history.deleteNote")}</p>
          {remove.error && <ProblemNote error={remove.error} />}
        </ConfirmDialog>
      )}
    </div>
  );
}
