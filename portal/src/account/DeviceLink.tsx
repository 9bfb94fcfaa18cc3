import { useMutation } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { answered, api, keyed } from "../api/client";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { Secret } from "./Secret";

/** A link that signs oneself in once, on another device. */
export function DeviceLink() {
  const { t } = useTranslation();
  const link = useMutation({
    mutationFn: () => answered(api.POST("/api/auth/login-links", { params: keyed(), body: {} })),
  });
  return (
    <section aria-label={t("account.device")} className="flex flex-col items-start gap-2">
      <h2 className="font-semibold">{t("account.device")}</h2>
      <p className="text-muted">{t("account.deviceMeans")}</p>
      <Button disabled={link.isPending} onClick={() => link.mutate()}>
        {t("account.makeLink")}
      </Button>
      {link.data && (
        <Secret
          label={t("account.linkFor", { minutes: Math.floor(link.data.expiresInSeconds / 60) })}
          value={link.data.url}
        />
      )}
      {link.error && <ProblemNote error={link.error} />}
    </section>
  );
}
