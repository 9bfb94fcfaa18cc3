import { useId } from "react";

interface Props<Value extends string> {
  label: string;
  choices: readonly (readonly [Value, string])[];
  value: string;
  onChoose: (value: Value) => void;
}

/** A few choices side by side, one of them taken. */
export function ChoiceGroup<Value extends string>({ label, choices, value, onChoose }: Props<Value>) {
  const name = useId();
  return (
    <fieldset className="flex flex-wrap gap-1">
      <legend className="mb-1 text-sm text-muted">{label}</legend>
      {choices.map(([choice, text]) => (
        <label
          key={choice}
          className="cursor-pointer rounded-sm border border-line px-3 py-1 has-checked:border-accent has-checked:bg-accent-soft has-focus-visible:outline-2 has-focus-visible:outline-accent"
        >
          <input
            type="radio"
            className="sr-only"
            name={name}
            checked={choice === value}
            onChange={() => onChoose(choice)}
          />
          {text}
        </label>
      ))}
    </fieldset>
  );
}
