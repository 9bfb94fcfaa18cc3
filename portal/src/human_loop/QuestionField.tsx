import { useId } from "react";
import { useTranslation } from "react-i18next";
import { shownText } from "../ui/shown_text";
import type { Question } from "./asked";
import type { Draft } from "./QuestionForm";

interface Props {
  question: Question;
  draft: Draft;
  onChange: (draft: Draft) => void;
}

/** One question: its options, one or several to be chosen, and room for an answer of one's own. */
export function QuestionField({ question, draft, onChange }: Props) {
  const { t } = useTranslation();
  const name = useId();
  const options = question.options ?? [];
  const isMultiple = question.multiple === true;
  const choose = (label: string, isChosen: boolean) => {
    const others = isMultiple ? draft.chosen.filter((each) => each !== label) : [];
    onChange({ typed: isMultiple ? draft.typed : "", chosen: isChosen ? [...others, label] : others });
  };
  return (
    <fieldset className="flex flex-col gap-1.5">
      <legend className="mb-1 font-medium break-words">
        {shownText(question.question)}
        {isMultiple && <span className="ml-2 text-sm font-normal text-muted">{t("ask.several")}</span>}
      </legend>
      {options.map(({ label, description }) => (
        <label
          key={label}
          className="flex cursor-pointer gap-2.5 rounded-sm border border-line bg-panel px-3 py-1.5 has-checked:border-accent has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:outline-accent"
        >
          <input
            type={isMultiple ? "checkbox" : "radio"}
            name={name}
            checked={draft.chosen.includes(label)}
            onChange={(event) => choose(label, event.target.checked)}
            className="mt-1 flex-none accent-accent"
          />
          <span className="min-w-0 break-words">
            {shownText(label)}
            {description != null && description !== "" && (
              <span className="block text-sm text-muted">{shownText(description)}</span>
            )}
          </span>
        </label>
      ))}
      <input
        type="text"
        aria-label={t("ask.ownAnswerTo", { question: shownText(question.question) })}
        placeholder={options.length > 0 ? t("ask.orOwn") : t("ask.own")}
        value={draft.typed}
        onChange={(event) => onChange({ typed: event.target.value, chosen: isMultiple ? draft.chosen : [] })}
        className="rounded-sm border border-strong-line bg-panel px-3 py-1.5 placeholder:text-muted"
      />
    </fieldset>
  );
}
