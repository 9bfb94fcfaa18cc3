import { type SyntheticEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";
import type { Asked, Question } from "./asked";
import { QuestionField } from "./QuestionField";
import type { Given } from "./use_reply";

interface Props {
  asked: Asked;
  isBusy: boolean;
  onGive: (given: Given) => void;
}

/** What was chosen and typed for one question. */
export interface Draft {
  readonly chosen: readonly string[];
  readonly typed: string;
}

const EMPTY: Draft = { chosen: [], typed: "" };

/** The questions of a request, answered all at once. */
export function QuestionForm({ asked, isBusy, onGive }: Props) {
  const { t } = useTranslation();
  const questions: readonly Question[] = asked.questions?.length
    ? asked.questions
    : [{ id: "q1", question: asked.title }];
  const [drafts, setDrafts] = useState<Readonly<Record<string, Draft>>>({});
  const answers = questions.map((question) => [question.id, answerOf(question, drafts[question.id] ?? EMPTY)] as const);
  const isComplete = answers.every(([, texts]) => texts.length > 0);
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (isComplete) onGive({ answers: Object.fromEntries(answers) });
  };
  return (
    <form onSubmit={submit} className="flex flex-col gap-3">
      {questions.map((question) => (
        <QuestionField
          key={question.id}
          question={question}
          draft={drafts[question.id] ?? EMPTY}
          onChange={(draft) => setDrafts((before) => ({ ...before, [question.id]: draft }))}
        />
      ))}
      <div className="flex gap-2">
        <Button type="submit" look="primary" disabled={isBusy || !isComplete}>
          {t("ask.answer")}
        </Button>
        <Button look="danger" disabled={isBusy} onClick={() => onGive({ decision: "deny" })}>
          {t("ask.decline")}
        </Button>
      </div>
    </form>
  );
}

/** Where one answer is wanted, what was typed stands for what was chosen. */
function answerOf({ multiple }: Question, { chosen, typed }: Draft): string[] {
  const own = typed.trim();
  if (own === "") return [...chosen];
  return multiple === true ? [...chosen, own] : [own];
}
