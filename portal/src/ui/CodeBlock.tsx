import { useTranslation } from "react-i18next";
import { Code } from "./Code";
import { CopyButton } from "./CopyButton";

interface Props {
  code: string;
  language: string;
  isGrowing?: boolean;
}

/** A block of code, with its language and a way to take it along. Colours come when it is whole. */
export function CodeBlock({ code, language, isGrowing = false }: Props) {
  const { t } = useTranslation();
  return (
    <figure className="overflow-hidden rounded-md border border-line bg-code">
      <figcaption className="flex items-center gap-2 border-b border-line py-0.5 pr-1 pl-3 text-sm text-muted">
        <span className="font-mono">{language}</span>
        <CopyButton className="ml-auto" label={t("copy.code")} text={() => code} />
      </figcaption>
      <pre
        className="overflow-x-auto px-3 py-2 font-mono text-sm"
        tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
      >
        <code>{isGrowing ? code : <Code code={code} language={language} />}</code>
      </pre>
    </figure>
  );
}
