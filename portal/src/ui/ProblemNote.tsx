import { useTranslation } from "react-i18next";
import { isAway, problemOf } from "../api/problem";
import { Button } from "./Button";

interface Props {
  error: unknown;
  onRetry?: (() => void) | undefined;
}

/** The one way to show an error: what is wrong, what to do about it, and by what words to find it in the log. */
export function ProblemNote({ error, onRetry }: Props) {
  const { t } = useTranslation();
  const problem = problemOf(error);
  const unanswered = isAway(problem);
  return (
    <div role="alert" className="flex flex-col gap-1 rounded-md border border-bad bg-bad-soft px-4 py-3">
      <p className="font-medium text-bad">{unanswered ? t("problem.noAnswer") : problem.message}</p>
      <p>{unanswered ? t("problem.noAnswerRemedy") : problem.remedy}</p>
      {problem.requestId !== "" && (
        <p className="text-sm text-muted">{t("problem.code", { code: problem.code, requestId: problem.requestId })}</p>
      )}
      {onRetry && (
        <Button className="mt-1 self-start" onClick={onRetry}>
          {t("problem.retry")}
        </Button>
      )}
    </div>
  );
}
