import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { answered, api } from "../api/client";
import { LOGIN } from "../api/queries";
import { LanguageSwitch } from "../app/LanguageSwitch";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";

const COMMAND = "paddock login-link";

export function LoginPage() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const [token, setToken] = useState("");
  const login = useMutation({
    mutationKey: [LOGIN],
    mutationFn: () => answered(api.POST("/api/auth/login", { body: { token: token.trim() } })),
    onSuccess: () => client.resetQueries(), // whoever was here before: nothing of theirs stays in the page
  });
  return (
    <main tabIndex={-1} className="mx-auto flex max-w-sm flex-col gap-5 px-4 py-[12vh]">
      <h1 className="text-lg font-semibold">{t("login.title")}</h1>
      <form
        className="flex flex-col gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          login.mutate();
        }}
      >
        <label className="flex flex-col gap-1">
          <span className="text-sm text-muted">{t("login.token")}</span>
          <input
            type="password"
            autoComplete="current-password"
            required
            autoFocus // eslint-disable-line jsx-a11y/no-autofocus -- it is all that is here to do
            value={token}
            onChange={(event) => setToken(event.target.value)}
            className="rounded-sm border border-strong-line bg-panel px-3 py-2 font-mono"
          />
        </label>
        <Button type="submit" look="primary" disabled={login.isPending}>
          {t("login.submit")}
        </Button>
        {login.error && <ProblemNote error={login.error} />}
      </form>
      <p className="text-muted">
        {t("login.hint")} <code className="font-mono text-text">{COMMAND}</code>
      </p>
      <LanguageSwitch />
    </main>
  );
}
