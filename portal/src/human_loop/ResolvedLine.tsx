import { useTranslation } from "react-i18next";
import { shownText } from "../ui/shown_text";
import type { Asked, Resolution } from "./asked";

interface Props {
  asked: Asked;
  resolution: Resolution;
  /** Somebody was first, and theirs is the answer. */
  isDuplicate: boolean;
}

const DECISIONS = ["allow", "allow_always", "deny"] as const;
const OUTCOMES = ["expired", "superseded", "canceled"] as const;

/** What a request was answered, by whom, or why nobody will answer it any more. */
export function ResolvedLine({ asked, resolution, isDuplicate }: Props) {
  const { t } = useTranslation();
  const { outcome, decision, answers, message, byName } = resolution;
  const decided = DECISIONS.find((each) => each === decision);
  const closed = OUTCOMES.find((each) => each === outcome);
  const questions = new Map((asked.questions ?? []).map(({ id, question }) => [id, question]));
  return (
    <div role="status" className="flex min-w-0 flex-wrap items-baseline gap-x-2 gap-y-1">
      {isDuplicate && <p className="font-medium text-warn">{t("ask.duplicate")}</p>}
      {closed && <p>{t(`ask.${closed}`)}</p>}
      {!closed && decided && <p className="font-medium">{t(`ask.decided.${decided}`)}</p>}
      {!closed &&
        Object.entries(answers ?? {}).map(([id, texts]) => (
          <p key={id} className="break-words">
            <span className="text-muted">{shownText(questions.get(id) ?? asked.title)}</span>{" "}
            <span className="font-medium">{shownText(texts.join(", "))}</span>
          </p>
        ))}
      {message !== undefined && <p className="break-words text-muted">{shownText(message)}</p>}
      {byName !== undefined && <p className="text-sm text-muted">{t("ask.by", { name: shownText(byName) })}</p>}
    </div>
  );
}
