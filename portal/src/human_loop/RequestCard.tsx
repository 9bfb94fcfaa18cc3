import { type KeyboardEvent, type ReactNode, useId, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Icon } from "../ui/Icon";
import { ProblemNote } from "../ui/ProblemNote";
import { shownText } from "../ui/shown_text";
import { ApprovalForm } from "./ApprovalForm";
import { type Asked, type Resolution, resolutionOf } from "./asked";
import { QuestionForm } from "./QuestionForm";
import { ResolvedLine } from "./ResolvedLine";
import { useReply } from "./use_reply";
import { WaitHint } from "./WaitHint";
import { WhatIsAsked } from "./WhatIsAsked";

interface Props {
  asked: Asked;
  /** What became of it, once it was answered or closed: the card stays. */
  resolution?: Resolution | undefined;
  /** Where it comes from, for who does not see the conversation. */
  children?: ReactNode;
}

/**
 * What an agent asks of a person. It never closes by itself: it is answered here, or somebody tells that it was answered elsewhere.
 * With the focus on it, `a` allows once and `d` goes to the denial.
 */
export function RequestCard({ asked, resolution, children }: Props) {
  const { t } = useTranslation();
  const titleId = useId();
  const card = useRef<HTMLElement>(null);
  const reply = useReply(asked.requestId);
  const known = resolution ?? (reply.data && resolutionOf(reply.data));
  const isApproval = asked.kind === "approval";
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.target !== card.current || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = card.current.querySelector<HTMLElement>(`[data-key="${event.key}"]`);
    if (!button) return;
    event.preventDefault();
    button.click();
  };
  return (
    // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- keys of the card itself; all of it can be done by its buttons
    <section
      ref={card}
      aria-labelledby={titleId}
      onKeyDown={onKeyDown}
      tabIndex={known ? -1 : 0}
      data-request={asked.requestId}
      className={`flex rounded-md border px-4 ${known ? "flex-wrap items-start gap-x-3 gap-y-1 border-line bg-panel py-2" : "flex-col gap-2 border-warn-line bg-warn-soft py-3"}`}
    >
      <h3 id={titleId} className={`flex items-center gap-2 ${known ? "text-muted" : "font-semibold text-warn"}`}>
        <Icon name={isApproval ? "warn" : "ask"} />
        {isApproval ? t("ask.approval") : t("ask.question")}
      </h3>
      {!known && children}
      {known && isApproval && <p className="min-w-40 flex-1 break-words">{shownText(asked.title)}</p>}
      {!known && asked.rule != null && asked.rule !== "" && (
        <p className="text-sm text-muted">{t("ask.rule", { rule: shownText(asked.rule) })}</p>
      )}
      {!known && isApproval && <WhatIsAsked asked={asked} />}
      {known ? (
        <ResolvedLine asked={asked} resolution={known} isDuplicate={reply.data?.duplicate === true} />
      ) : (
        <>
          {isApproval ? (
            <ApprovalForm asked={asked} isBusy={reply.isPending} onGive={reply.send} />
          ) : (
            <QuestionForm asked={asked} isBusy={reply.isPending} onGive={reply.send} />
          )}
          {reply.error && <ProblemNote error={reply.error} />}
          <WaitHint asked={asked} />
        </>
      )}
      {known && children && <div className="basis-full">{children}</div>}
    </section>
  );
}
