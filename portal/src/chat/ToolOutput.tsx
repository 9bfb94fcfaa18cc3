import { useLayoutEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { ToolBlock } from "../events/blocks";
import { CopyButton } from "../ui/CopyButton";
import { plainOutput } from "../ui/plain_output";
import { useOutput } from "./tool_outputs";

/** Characters of an output that are laid out; the rest is a link away. */
const MOST_SHOWN = 32 * 1024;
const NEAR_PX = 24;

/** What a tool puts out. While it works it grows in a pane of one height, so that nothing below it moves; its end stays in sight. */
export function ToolOutput({ runId, call }: { runId: string; call: ToolBlock }) {
  const { t } = useTranslation();
  const growing = useOutput(call.key);
  const isRunning = call.status === "running";
  const text = plainOutput((isRunning ? growing : (call.output ?? "")).slice(0, MOST_SHOWN));
  const pane = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  useLayoutEffect(() => {
    if (isRunning && isAtEnd.current) pane.current?.scrollTo({ top: pane.current.scrollHeight });
  }, [isRunning, text]);
  if (text === "") return null;
  const onScroll = () => {
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = pane.current ?? {};
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_PX;
  };
  return (
    <section className="border-t border-line">
      <div className="flex items-center px-3 pt-1 text-sm text-muted">
        <h3>{t("tool.output")}</h3>
        <CopyButton className="ml-auto" label={t("copy.output")} text={() => text} />
      </div>
      <pre
        ref={pane}
        onScroll={onScroll}
        aria-label={t("tool.output")}
        tabIndex={0} // eslint-disable-line jsx-a11y/no-noninteractive-tabindex -- what scrolls must be reachable by keyboard
        className={`overflow-auto bg-code px-3 py-2 font-mono text-sm break-words whitespace-pre-wrap ${isRunning ? "h-48" : "max-h-80"}`}
      >
        {text}
      </pre>
      {call.blobId !== undefined && (
        <p className="px-3 py-1.5 text-sm">
          <a
            className="text-accent underline"
            href={`/api/task/${encodeURIComponent(runId)}/trace/blobs/${encodeURIComponent(call.blobId)}`}
            target="_blank"
            rel="noopener noreferrer"
          >
            {t("tool.wholeOutput")}
          </a>
        </p>
      )}
    </section>
  );
}
