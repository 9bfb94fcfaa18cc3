import { useRef } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";
import { useShortcut } from "../ui/shortcuts";

interface Props {
  value: string;
  onChange: (value: string) => void;
}

const LONGEST = 200;

/** Looks for words in titles and in what was asked. `/` comes here, Escape empties it, an arrow goes on to what was found. */
export function SearchField({ value, onChange }: Props) {
  const { t } = useTranslation();
  const field = useRef<HTMLInputElement>(null);
  useShortcut("/", t("history.search"), () => field.current?.focus());
  return (
    <label className="flex min-w-0 flex-1 items-center gap-2 rounded-sm border border-line bg-sunken px-2.5 text-muted has-focus-visible:border-accent has-focus-visible:outline-1 has-focus-visible:outline-accent">
      <Icon name="search" />
      <input
        ref={field}
        type="search"
        aria-label={t("history.search")}
        aria-keyshortcuts="/"
        placeholder={t("history.search")}
        maxLength={LONGEST}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Escape") onChange("");
          if (event.key !== "ArrowDown") return;
          event.preventDefault();
          field.current?.closest("section")?.querySelector<HTMLElement>("[data-chat] a")?.focus();
        }}
        className="min-w-0 flex-1 bg-transparent py-1 text-text outline-none placeholder:text-muted"
      />
    </label>
  );
}
