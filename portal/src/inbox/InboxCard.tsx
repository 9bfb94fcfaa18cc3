import { useTranslation } from "react-i18next";
import { Link } from "wouter";
import { resolutionOf } from "../human_loop/asked";
import { RequestCard } from "../human_loop/RequestCard";
import { shownText } from "../ui/shown_text";
import type { Request } from "./queries";

/** A request with the session that it comes from. */
export function InboxCard({ request }: { request: Request }) {
  const { t } = useTranslation();
  const title = request.sessionTitle === "" ? t("history.untitled") : shownText(request.sessionTitle);
  return (
    <RequestCard asked={request} resolution={request.outcome == null ? undefined : resolutionOf({ ...request })}>
      <p className="flex flex-wrap items-center gap-x-2 text-sm text-muted">
        <Link href={`/chats/${request.sessionId}`} className="underline underline-offset-2 hover:text-text">
          {title}
        </Link>
        {request.overdue && <span className="font-medium text-bad">{t("inbox.overdue")}</span>}
      </p>
    </RequestCard>
  );
}
