import { DropdownMenu } from "radix-ui";
import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";

interface Props {
  title: string;
  isArchived: boolean;
  onRename: () => void;
  onArchive: () => void;
  onDelete: () => void;
}

const ITEM =
  "cursor-pointer rounded-sm px-3 py-1.5 outline-none data-highlighted:bg-sunken data-highlighted:outline-2 data-highlighted:outline-accent";

/** What can be done with a chat of the list. */
export function ItemMenu({ title, isArchived, onRename, onArchive, onDelete }: Props) {
  const { t } = useTranslation();
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
          // renaming puts the focus into its field; giving it back to this button would take it from there
          onCloseAutoFocus={(event) => event.preventDefault()}
        >
          <DropdownMenu.Item className={ITEM} onSelect={onRename}>
            {t("history.rename")}
          </DropdownMenu.Item>
          <DropdownMenu.Item className={ITEM} onSelect={onArchive}>
            {isArchived ? t("history.unarchive") : t("history.archive")}
          </DropdownMenu.Item>
          <DropdownMenu.Item className={`${ITEM} text-bad`} onSelect={onDelete}>
            {t("history.delete")}
          </DropdownMenu.Item>
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}
