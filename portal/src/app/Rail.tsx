import { useTranslation } from "react-i18next";
import { AccountMenu } from "../auth/AccountMenu";
import { Icon } from "../ui/Icon";

interface Props {
  showsHistory: boolean;
  onHistory: () => void;
}

export function Rail({ showsHistory, onHistory }: Props) {
  const { t } = useTranslation();
  return (
    <nav
      aria-label={t("nav.main")}
      className="flex flex-col items-center gap-2 border-r border-line py-3 max-sm:row-start-2 max-sm:flex-row max-sm:border-t max-sm:border-r-0 max-sm:px-3 max-sm:py-0"
    >
      <span className="grid size-7 place-items-center rounded-sm bg-accent text-on-accent sm:mb-2">
        <Icon name="mark" />
      </span>
      <button
        type="button"
        aria-label={t("nav.chats")}
        aria-expanded={showsHistory}
        onClick={onHistory}
        className="grid size-9 cursor-pointer place-items-center rounded-sm text-muted hover:bg-sunken aria-expanded:bg-accent-soft aria-expanded:text-accent lg:hidden"
      >
        <Icon name="chats" />
      </button>
      <div className="mt-auto max-sm:mt-0 max-sm:ml-auto">
        <AccountMenu />
      </div>
    </nav>
  );
}
