import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { useTranslation } from "react-i18next";
import { useRoute } from "wouter";
import { chatQuery } from "../history/queries";
import { shownText } from "../ui/shown_text";

const PRODUCT = "Paddock";

/** Says in the browser's tab which page it is, and how many people are waited for. */
export function useDocumentTitle(pending: number): void {
  const { t } = useTranslation();
  const [isInbox] = useRoute("/inbox");
  const [, route] = useRoute("/chats/:chatId");
  const { data } = useQuery({ ...chatQuery(route?.chatId ?? ""), enabled: route !== null });
  const subject = isInbox ? t("nav.inbox") : route ? shownText(data?.title ?? "") || undefined : undefined;
  useEffect(() => {
    const name = subject ? `${subject} · ${PRODUCT}` : PRODUCT;
    document.title = pending > 0 ? `(${pending}) ${name}` : name;
  }, [subject, pending]);
}
