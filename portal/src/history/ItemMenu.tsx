import { DropdownMenu } from "radix-ui";
import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";

interface Props {
  title: string;
  isArchived: boolean;
  onRename: () => void;
  onArchive: () => void;
  onDelete: () => void;
}

const ITEM = "cursor-pointer rounded-sm px-3 py-1.5 -outline-offset-2 data-highlighted:bg-sunken";

/** What can be done with a chat of the list. */
export function ItemMenu({ title, isArchived, onRename, onArchive, onDelete }: Props) {
  const { t } = useTranslation();
  const chosen = useRef<() => void>(undefined);
  const onClosed = () => {
    chosen.current?.();
    chosen.current = undefined;
  };
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger
        aria-label={t("history.actions", { title })}
        className="absolute right-1.5 bottom-1 grid size-6 cursor-pointer place-items-center rounded-sm text-muted opacity-0 group-hover:opacity-100 hover:bg-sunken focus-visible:opacity-100 data-[state=open]:opacity-100 pointer-coarse:opacity-100"
      >
        <Icon name="more" />
      </DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align="end"
          className="z-20 min-w-40 rounded-md border border-line bg-panel p-1 shadow-soft"
          // what was chosen is done once the focus is back at the button: what it opens finds it there, and takes it
          onCloseAutoFocus={() => queueMicrotask(onClosed)}
        >
          <DropdownMenu.Item className={ITEM} onSelect={() => (chosen.current = onRename)}>
            {t("history.rename")}
          </DropdownMenu.Item>
          <DropdownMenu.Item className={ITEM} onSelect={() => (chosen.current = onArchive)}>
            {isArchived ? t("history.unarchive") : t("history.archive")}
          </DropdownMenu.Item>
          <DropdownMenu.Item className={`${ITEM} text-bad`} onSelect={() => (chosen.current = onDelete)}>
            {t("history.delete")}
          </DropdownMenu.Item>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
