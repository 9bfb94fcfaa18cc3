import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { meQuery } from "../api/queries";
import { DeviceLink } from "./DeviceLink";
import { Tokens } from "./Tokens";

const MAY_LINK = "tenant:login_link:create";
const MAY_MAKE_TOKENS = "account:tokens:manage";

/** Who is signed in, with what they may sign in elsewhere. */
export default function AccountPage() {
  const { t } = useTranslation();
  const { data: me } = useQuery(meQuery);
  if (!me) return null;
  return (
    <main id="main" tabIndex={-1} className="h-full overflow-auto">
      <div className="mx-auto flex max-w-[760px] flex-col gap-6 px-5 py-6 max-sm:px-3">
        <h1 className="text-lg font-semibold">{t("account.title")}</h1>
        <dl className="grid grid-cols-[auto_1fr] gap-x-6 gap-y-1">
          <dt className="text-muted">{t("account.name")}</dt>
          <dd>{me.name}</dd>
          <dt className="text-muted">{t("account.roles")}</dt>
          <dd>{me.roles.join(", ")}</dd>
          <dt className="text-muted">{t("account.tenant")}</dt>
          <dd className="font-mono">{me.tenantId}</dd>
        </dl>
        {me.permissions.includes(MAY_LINK) && <DeviceLink />}
        {me.permissions.includes(MAY_MAKE_TOKENS) && <Tokens />}
      </div>
    </main>
  );
}
