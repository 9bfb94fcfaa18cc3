import { useMutation, useQuery } from "@tanstack/react-query";
import { Popover } from "radix-ui";
import { useTranslation } from "react-i18next";
import { Link } from "wouter";
import { answered, api, keyed } from "../api/client";
import { meQuery } from "../api/queries";
import { LanguageSwitch } from "../app/LanguageSwitch";
import { ThemeSwitch } from "../app/ThemeSwitch";
import { dropDrafts } from "../chat/drafts";
import { Button } from "../ui/Button";
import { Icon } from "../ui/Icon";
import { ProblemNote } from "../ui/ProblemNote";

export function AccountMenu() {
  const { t } = useTranslation();
  const me = useQuery(meQuery);
  const logout = useMutation({
    mutationFn: () => answered(api.POST("/api/auth/logout", { params: keyed() })),
    onSuccess: () => {
      dropDrafts();
      window.location.assign("/"); // nothing of this person stays in the page
    },
  });
  return (
    <Popover.Root>
      <Popover.Trigger
        aria-label={t("account.title")}
        className="grid size-9 cursor-pointer place-items-center rounded-sm text-muted hover:bg-sunken"
      >
        <Icon name="account" />
      </Popover.Trigger>
      <Popover.Content
        side="right"
        align="end"
        aria-label={t("account.title")}
        className="z-10 flex w-72 flex-col gap-4 rounded-md border border-line bg-panel p-4 shadow-soft"
      >
        <p>{t("account.signedInAs", { name: me.data?.name ?? "" })}</p>
        <Popover.Close asChild>
          <Link href="/account" className="underline underline-offset-2">
            {t("account.open")}
          </Link>
        </Popover.Close>
        <ThemeSwitch />
        <LanguageSwitch />
        <Button onClick={() => logout.mutate()} disabled={logout.isPending}>
          {t("account.signOut")}
        </Button>
        {logout.error && <ProblemNote error={logout.error} />}
      </Popover.Content>
    </Popover.Root>
  );
}
