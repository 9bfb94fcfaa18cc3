import { useTranslation } from "react-i18next";
import { useLocation } from "wouter";
import { AccountMenu } from "../auth/AccountMenu";
import { Icon } from "../ui/Icon";
import { useShortcut } from "../ui/shortcuts";
import { RailLink } from "./RailLink";

interface Props {
  showsHistory: boolean;
  onHistory: () => void;
  /** How many requests wait for somebody. */
  pending: number;
}

export function Rail({ showsHistory, onHistory, pending }: Props) {
  const { t } = useTranslation();
  const [location, navigate] = useLocation();
  useShortcut("g i", t("nav.inbox"), () => navigate("/inbox"));
  useShortcut("g c", t("nav.chats"), () => navigate("/"));
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
        aria-label={t("nav.history")}
        aria-expanded={showsHistory}
        onClick={onHistory}
        className="grid size-9 cursor-pointer place-items-center rounded-sm text-muted hover:bg-sunken aria-expanded:bg-accent-soft aria-expanded:text-accent lg:hidden"
      >
        <Icon name="chats" />
      </button>
      <RailLink
        href="/"
        icon="chats"
        label={t("nav.chats")}
        isHere={location.startsWith("/chats/")}
        className="max-lg:hidden"
      />
      <RailLink
        href="/inbox"
        icon="inbox"
        label={pending > 0 ? t("nav.inboxWaiting", { waiting: pending }) : t("nav.inbox")}
        count={pending}
      />
      <div className="mt-auto max-sm:mt-0 max-sm:ml-auto">
        <AccountMenu />
      </div>
    </nav>
  );
}
