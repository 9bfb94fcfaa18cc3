import { memo } from "react";
import type { Part } from "../events/message";
import { FactLine } from "./FactLine";
import { Thinking } from "./Thinking";
import { ToolCard } from "./ToolCard";

/** One part of an answer. useChat copies all parts at each change, so what counts is whether their fields are the same. */
export const PartView = memo(function PartView({ part }: { part: Part }) {
  switch (part.type) {
    case "text":
      return <p className="break-words whitespace-pre-wrap">{part.text}</p>;
    case "reasoning":
      return <Thinking text={part.text} />;
    case "dynamic-tool":
      return <ToolCard part={part} />;
    default:
      return isFact(part) ? <FactLine type={part.type} data={part.data} /> : null;
  }
}, hasSamePart);

function hasSamePart({ part: a }: { part: Part }, { part: b }: { part: Part }): boolean {
  const names = Object.keys(a) as (keyof Part)[];
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

function isFact(part: Part): part is Extract<Part, { type: `data-${string}` }> {
  return part.type.startsWith("data-");
}
