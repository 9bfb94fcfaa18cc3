import { useTranslation } from "react-i18next";
import type { Block } from "../events/blocks";
import { CopyButton } from "../ui/CopyButton";
import { addressOfEvent } from "./event_link";

/** What can be taken along of a block: its text, a link to it. */
export function BlockMenu({ runId, block }: { runId: string; block: Block }) {
  const { t } = useTranslation();
  return (
    <div className="absolute top-0 -right-8 flex flex-col opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 max-xl:hidden">
      {block.kind === "text" && <CopyButton label={t("copy.message")} text={() => block.text} />}
      <CopyButton icon="link" label={t("copy.link")} text={() => addressOfEvent(runId, block.seq)} />
    </div>
  );
}
