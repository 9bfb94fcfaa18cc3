import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";
import { chatQuery } from "../history/queries";
import { PanelSwitch } from "../panel/PanelSwitch";
import { Button } from "../ui/Button";
import { useShortcut } from "../ui/shortcuts";
import { RunState } from "./RunState";
import { shownText } from "../ui/shown_text";

interface Props {
  chatId: string;
  run: Run | undefined;
  isAtWork: boolean;
  /** Asks whether the run is to be stopped. */
  onStop: () => void;
}

/** Which chat this is, in what state its run is, and how to stop it. */
export function ChatHeader({ chatId, run, isAtWork, onStop }: Props) {
  const { t } = useTranslation();
  const { data: about } = useQuery(chatQuery(chatId));
  const title = shownText(about?.title ?? "");
  const isStopping = run?.stopRequestedAt != null;
  useShortcut("Escape", t("chat.stop"), onStop);
  return (
    <header className="flex h-[54px] flex-none items-center gap-3 border-b border-line px-5">
      <div className="flex min-w-0 items-center gap-3 max-sm:flex-col max-sm:items-start max-sm:gap-0">
        <h1 className="max-w-full truncate text-lg font-semibold">{title === "" ? t("history.untitled") : title}</h1>
        {run && <RunState status={run.status} isSpoken />}
      </div>
      <div className="ml-auto flex flex-none items-center gap-2">
        {isAtWork && (
          <Button look="danger" disabled={isStopping} onClick={onStop}>
            {isStopping ? t("chat.stopping") : t("chat.stop")}
          </Button>
        )}
        <PanelSwitch />
      </div>
    </header>
  );
}
