import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import { ProblemNote } from "../ui/ProblemNote";
import { useShortcut } from "../ui/shortcuts";
import { InboxCard } from "./InboxCard";
import { keptIds } from "./kept";
import { NoticeSwitch } from "./NoticeSwitch";
import { pendingQuery, resolvedQuery } from "./queries";

/** Everything that people are asked, in all sessions: what waits, and what was answered. A card that is answered here stays in its place. */
export default function InboxPage() {
  const { t } = useTranslation();
  const pending = useQuery(pendingQuery);
  const resolved = useInfiniteQuery(resolvedQuery);
  const [kept, setKept] = useState<readonly string[]>([]);
  const now = keptIds(kept, pending.data?.items ?? []);
  if (now !== kept) setKept(now);
  const done = resolved.data?.pages.flatMap((page) => page.items) ?? [];
  const known = new Map([...done, ...(pending.data?.items ?? [])].map((each) => [each.requestId, each]));
  const shown = kept.map((id) => known.get(id)).filter((each) => each !== undefined);
  const earlier = done.filter((each) => !kept.includes(each.requestId));
  const page = useRef<HTMLElement>(null);
  const step = (by: 1 | -1) => {
    const cards = [...(page.current?.querySelectorAll<HTMLElement>("[data-request]") ?? [])];
    const here = cards.findIndex((card) => card.contains(document.activeElement));
    const next = cards[here === -1 ? 0 : here + by];
    next?.focus();
  };
  useShortcut("j", t("inbox.next"), () => step(1));
  useShortcut("k", t("inbox.previous"), () => step(-1));
  const error = pending.error ?? resolved.error;
  return (
    <main id="main" tabIndex={-1} ref={page} className="h-full overflow-auto">
      <div className="mx-auto flex max-w-[760px] flex-col gap-4 px-5 py-6 max-sm:px-3">
        <header className="flex flex-wrap items-center gap-3">
          <h1 className="flex-1 text-lg font-semibold">{t("nav.inbox")}</h1>
          <NoticeSwitch />
        </header>
        {error && <ProblemNote error={error} onRetry={() => void pending.refetch()} />}
        {pending.isSuccess && shown.length === 0 && <p className="text-muted">{t("inbox.empty")}</p>}
        {shown.map((request) => (
          <InboxCard key={request.requestId} request={request} />
        ))}
        {earlier.length > 0 && <h2 className="mt-4 font-semibold text-muted">{t("inbox.resolved")}</h2>}
        {earlier.map((request) => (
          <InboxCard key={request.requestId} request={request} />
        ))}
        {resolved.hasNextPage && (
          <Button look="quiet" className="self-center" onClick={() => void resolved.fetchNextPage()}>
            {t("inbox.more")}
          </Button>
        )}
      </div>
    </main>
  );
}
