import { lazy, Suspense } from "react";
import { shownText } from "./shown_text";

const load = () => import("./MarkdownText");
const MarkdownText = lazy(load);
void load(); // wanted by the first answer

interface Props {
  text: string;
  isGrowing?: boolean;
}

/** Markdown of an agent; its words as they are until what lays them out is there. */
export function Markdown(props: Props) {
  return (
    <Suspense fallback={<p className="break-words whitespace-pre-wrap">{shownText(props.text)}</p>}>
      <MarkdownText {...props} />
    </Suspense>
  );
}
