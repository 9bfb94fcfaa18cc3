import { type SyntheticEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import type { Asked } from "./asked";
import type { Given } from "./use_reply";

interface Props {
  asked: Asked;
  isBusy: boolean;
  onGive: (given: Given) => void;
}

/** Allow once, allow for the rest of the run, or deny, with words for the agent. */
export function ApprovalForm({ asked, isBusy, onGive }: Props) {
  const { t } = useTranslation();
  const [isDenying, setIsDenying] = useState(false);
  const [reason, setReason] = useState("");
  const mayAlways = asked.options == null || asked.options.length === 0 || asked.options.includes("allow_always");
  const deny = (event: SyntheticEvent) => {
    event.preventDefault();
    onGive({ decision: "deny", ...(reason.trim() !== "" && { message: reason.trim() }) });
  };
  if (isDenying) {
    return (
      <form onSubmit={deny} className="flex flex-col gap-2">
        <label className="flex flex-col gap-1 text-sm">
          {t("ask.reason")}
          <textarea
            autoFocus // eslint-disable-line jsx-a11y/no-autofocus -- it comes because one asked for it
            rows={2}
            value={reason}
            onChange={(event) => setReason(event.target.value)}
            className="field-sizing-content resize-none rounded-sm border border-strong-line bg-panel px-3 py-1.5 text-base"
          />
        </label>
        <div className="flex gap-2">
          <Button type="submit" look="danger" disabled={isBusy}>
            {t("ask.deny")}
          </Button>
          <Button onClick={() => setIsDenying(false)}>{t("confirm.cancel")}</Button>
        </div>
      </form>
    );
  }
  return (
    <div className="flex flex-wrap gap-2">
      <Button look="primary" data-key="a" disabled={isBusy} onClick={() => onGive({ decision: "allow" })}>
        {t("ask.allow")}
      </Button>
      {mayAlways && (
        <Button disabled={isBusy} title={t("ask.alwaysMeans")} onClick={() => onGive({ decision: "allow_always" })}>
          {t("ask.always")}
        </Button>
      )}
      <Button look="danger" data-key="d" disabled={isBusy} onClick={() => setIsDenying(true)}>
        {t("ask.denyWith")}
      </Button>
    </div>
  );
}
