import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { answered, api, keyed } from "../api/client";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { tokensQuery } from "./queries";
import { Secret } from "./Secret";
import { TokenRow } from "./TokenRow";

/** One's API tokens: which there are, a new one, an end to one. */
export function Tokens() {
  const { t } = useTranslation();
  const client = useQueryClient();
  const tokens = useInfiniteQuery(tokensQuery);
  const [name, setName] = useState("");
  const onSuccess = () => client.invalidateQueries({ queryKey: tokensQuery.queryKey });
  const create = useMutation({
    mutationFn: (wanted: string) => answered(api.POST("/api/tokens", { params: keyed(), body: { name: wanted } })),
    onSuccess: () => {
      setName("");
      return onSuccess();
    },
  });
  const revoke = useMutation({
    mutationFn: (tokenId: string) =>
      answered(api.DELETE("/api/tokens/{token_id}", { params: { path: { token_id: tokenId } } })),
    onSuccess,
  });
  const error = tokens.error ?? create.error ?? revoke.error;
  const items = tokens.data?.pages.flatMap((page) => page.items).filter((token) => token.revokedAt == null) ?? [];
  return (
    <section aria-label={t("account.tokens")} className="flex flex-col gap-3">
      <h2 className="font-semibold">{t("account.tokens")}</h2>
      <form
        className="flex items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate(name.trim());
        }}
      >
        <label className="flex min-w-0 flex-1 flex-col gap-1">
          <span className="text-sm text-muted">{t("account.tokenName")}</span>
          <input
            required
            maxLength={100}
            value={name}
            onChange={(event) => setName(event.target.value)}
            className="rounded-sm border border-strong-line bg-panel px-3 py-1"
          />
        </label>
        <Button type="submit" disabled={create.isPending || name.trim() === ""}>
          {t("account.makeToken")}
        </Button>
      </form>
      {create.data && <Secret label={t("account.tokenOnce")} value={create.data.token} />}
      {error && <ProblemNote error={error} />}
      <ul className="flex flex-col">
        {items.map((token) => (
          <TokenRow key={token.tokenId} token={token} isBusy={revoke.isPending} onRevoke={revoke.mutate} />
        ))}
      </ul>
      {tokens.hasNextPage && (
        <Button look="quiet" onClick={() => void tokens.fetchNextPage()}>
          {t("account.more")}
        </Button>
      )}
    </section>
  );
}
