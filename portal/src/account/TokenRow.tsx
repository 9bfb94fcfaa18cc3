import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { ConfirmDialog } from "../ui/ConfirmDialog";
import { dayAndTime } from "../ui/time";
import type { Token } from "./queries";

interface Props {
  token: Token;
  isBusy: boolean;
  onRevoke: (tokenId: string) => void;
}

/** A token by its first characters, and a way to end it. */
export function TokenRow({ token, isBusy, onRevoke }: Props) {
  const { t, i18n } = useTranslation();
  const [isAsking, setIsAsking] = useState(false);
  const time = (at: string) => dayAndTime(at, i18n.language);
  return (
    <li className="flex flex-wrap items-center gap-x-3 border-b border-line py-2">
      <span className="font-medium">{token.name}</span>
      <code className="font-mono text-muted">{token.prefix}…</code>
      <span className="text-sm text-muted">
        {token.lastUsedAt == null ? t("account.neverUsed") : t("account.lastUsed", { at: time(token.lastUsedAt) })}
      </span>
      <Button look="danger" className="ml-auto" onClick={() => setIsAsking(true)}>
        {t("account.revoke")}
      </Button>
      {isAsking && (
        <ConfirmDialog
          title={t("account.revokeTitle", { name: token.name })}
          confirm={t("account.revoke")}
          isBusy={isBusy}
          onConfirm={() => {
            onRevoke(token.tokenId);
            setIsAsking(false);
          }}
          onCancel={() => setIsAsking(false)}
        >
          <p>{t("account.revokeMeans")}</p>
        </ConfirmDialog>
      )}
    </li>
  );
}
