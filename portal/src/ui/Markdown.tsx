import { type ComponentType, lazy, Suspense } from "react";
import { shownText } from "./shown_text";

interface Props {
  text: string;
  isGrowing?: boolean;
}

const load = (): Promise<{ default: ComponentType<Props> }> =>
  import("./MarkdownText").catch(() => ({ default: AsWritten })); // of a version that is no longer there: words do as well
const MarkdownText = lazy(load);
void load(); // wanted by the first answer

/** Markdown of an agent; its words as they are until what lays them out is there. */
export function Markdown(props: Props) {
  return (
    <Suspense fallback={<AsWritten {...props} />}>
      <MarkdownText {...props} />
    </Suspense>
  );
}

function AsWritten({ text }: Props) {
  return <p className="break-words whitespace-pre-wrap">{shownText(text)}</p>;
}
