import { useTranslation } from "react-i18next";

interface Props {
  additions: number;
  deletions: number;
}

/** How many lines came and went. */
export function LineCounts({ additions, deletions }: Props) {
  const { t } = useTranslation();
  return (
    <span className="flex gap-2 font-mono text-sm whitespace-nowrap">
      <span className="text-accent">
        <span className="sr-only">{t("workspace.added")} </span>+{additions}
      </span>
      <span className="text-bad">
        <span className="sr-only">{t("workspace.removed")} </span>−{deletions}
      </span>
    </span>
  );
}
