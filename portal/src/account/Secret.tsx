import { useTranslation } from "react-i18next";
import { CopyButton } from "../ui/CopyButton";

/** Something that is shown once. */
export function Secret({ label, value }: { label: string; value: string }) {
  const { t } = useTranslation();
  return (
    <div role="status" className="flex w-full flex-col gap-1 rounded-md border border-warn-line bg-warn-soft px-4 py-3">
      <p className="font-medium">{label}</p>
      <p className="flex items-center gap-2">
        <code className="min-w-0 font-mono break-all">{value}</code>
        <CopyButton label={t("account.copy")} text={() => value} />
      </p>
    </div>
  );
}
