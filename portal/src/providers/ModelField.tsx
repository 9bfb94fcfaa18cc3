import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Button } from "../ui/Button";

interface Props {
  model: string | null;
  /** What is used where none is named; null leaves it to the agent. */
  usual: string | null;
  onChoose: (model: string | null) => void;
}

/** The model by its name; empty is the agent's usual one. */
export function ModelField({ model, usual, onChoose }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState(model ?? "");
  const wanted = text.trim() === "" ? null : text.trim();
  return (
    <form
      className="flex items-end gap-2 px-2"
      onSubmit={(event) => {
        event.preventDefault();
        event.stopPropagation(); // the composer that it hangs on is a form as well
        onChoose(wanted);
      }}
    >
      <label className="flex min-w-0 flex-1 flex-col gap-1">
        <span className="text-sm text-muted">{t("providers.model")}</span>
        <input
          value={text}
          pattern="[!-~]+"
          maxLength={256}
          spellCheck={false}
          placeholder={usual ?? t("providers.usualModel")}
          onChange={(event) => setText(event.target.value)}
          className="min-w-0 rounded-sm border border-strong-line bg-panel px-2 py-1 font-mono placeholder:text-muted"
        />
      </label>
      <Button type="submit" disabled={wanted === model}>
        {t("providers.useModel")}
      </Button>
    </form>
  );
}
