import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { copyText } from "./clipboard";
import { Icon } from "./Icon";

interface Props {
  /** What is copied, for those who do not see the picture. */
  label: string;
  text: () => string;
  icon?: "copy" | "link";
  className?: string;
}

const SHOWN_MS = 2000;

/** Copies a text, and says that it did. */
export function CopyButton({ label, text, icon = "copy", className = "" }: Props) {
  const { t } = useTranslation();
  const [copies, setCopies] = useState(0);
  useEffect(() => {
    if (copies === 0) return;
    const timer = setTimeout(() => setCopies(0), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [copies]);
  const isDone = copies > 0;
  const copy = async () => {
    if (await copyText(text())) setCopies((before) => before + 1);
  };
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      onClick={() => void copy()}
      className={`inline-flex size-7 flex-none cursor-pointer items-center justify-center rounded-sm text-muted hover:bg-sunken hover:text-text ${className}`}
    >
      <Icon name={isDone ? "done" : icon} />
      <span role="status" className="sr-only">
        {isDone ? t("copy.done") : ""}
      </span>
    </button>
  );
}
