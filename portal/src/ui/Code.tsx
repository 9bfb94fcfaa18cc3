import { type CSSProperties, useEffect, useState } from "react";
import { highlighted } from "./highlight";
import type { Token } from "./highlighter";

interface Props {
  code: string;
  language: string;
}

interface Coloured extends Props {
  readonly lines: readonly (readonly Token[])[] | undefined;
}

/** Text in the colours of its language, once they are there. */
export function Code({ code, language }: Props) {
  const [coloured, setColoured] = useState<Coloured>();
  useEffect(() => {
    let isWanted = true;
    void highlighted(code, language).then((lines) => {
      if (isWanted) setColoured({ code, language, lines });
    });
    return () => {
      isWanted = false;
    };
  }, [code, language]);
  const lines = coloured?.code === code && coloured.language === language ? coloured.lines : undefined;
  if (!lines) return code;
  return lines.map((line, number) => (
    <span key={number}>
      {line.map((token, place) => (
        <span key={place} className="text-(--in-light) dark:text-(--in-dark)" style={coloursOf(token)}>
          {token.text}
        </span>
      ))}
      {number < lines.length - 1 && "\n"}
    </span>
  ));
}

/** React sets these one by one on the element, which the policy of the page admits; it admits no `style` in markup. */
function coloursOf({ light, dark }: Token): CSSProperties {
  return { "--in-light": light, "--in-dark": dark } as CSSProperties;
}
