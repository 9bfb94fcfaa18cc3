import { type DragEvent, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Run } from "../api/queries";
import { Icon } from "../ui/Icon";
import { ProblemNote } from "../ui/ProblemNote";
import { useQueueChanges } from "./use_queue_changes";

interface Props {
  chatId: string;
  runs: readonly Run[];
}

/** Messages that wait for the run at work: they can be taken back, and put in another order by keys or by pulling them. */
export function QueuedMessages({ chatId, runs }: Props) {
  const { t } = useTranslation();
  const { move, remove, error, isBusy } = useQueueChanges(chatId);
  const [pulled, setPulled] = useState<string>();
  if (runs.length === 0) return error ? <ProblemNote error={error} /> : null;
  const drop = (event: DragEvent, before: string) => {
    event.preventDefault();
    if (pulled !== undefined && pulled !== before) move(pulled, before);
    setPulled(undefined);
  };
  return (
    <section
      aria-label={t("queue.title")}
      className="mx-auto w-full max-w-[800px] px-5 pb-2 xl:max-w-[848px] xl:px-11 max-sm:px-3"
    >
      <h2 className="pb-1 text-sm text-muted">{t("queue.waiting", { count: runs.length })}</h2>
      <ol className="flex max-h-40 flex-col gap-1 overflow-auto">
        {runs.map((run, place) => {
          const [above, below, behind] = [runs[place - 1], runs[place + 1], runs[place + 2]];
          return (
            // eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions -- pulling is the short way; its buttons do the same
            <li
              key={run.runId}
              draggable
              onDragStart={() => setPulled(run.runId)}
              onDragEnd={() => setPulled(undefined)}
              onDragOver={(event) => event.preventDefault()}
              onDrop={(event) => drop(event, run.runId)}
              className={`flex cursor-grab items-center gap-1 rounded-sm border border-line bg-panel py-0.5 pr-1 pl-3 ${pulled === run.runId ? "opacity-50" : ""}`}
            >
              <span className="min-w-0 flex-1 truncate">{run.prompt}</span>
              <Act
                label={t("queue.up", { prompt: run.prompt })}
                icon="up"
                disabled={isBusy || !above}
                onAct={() => above && move(run.runId, above.runId)}
              />
              <Act
                label={t("queue.down", { prompt: run.prompt })}
                icon="down"
                disabled={isBusy || !below}
                onAct={() => move(run.runId, behind?.runId ?? null)}
              />
              <Act
                label={t("queue.remove", { prompt: run.prompt })}
                icon="close"
                disabled={isBusy}
                onAct={() => remove(run.runId)}
              />
            </li>
          );
        })}
      </ol>
      {error && <ProblemNote error={error} />}
    </section>
  );
}

interface ActProps {
  label: string;
  icon: "up" | "down" | "close";
  disabled: boolean;
  onAct: () => void;
}

function Act({ label, icon, disabled, onAct }: ActProps) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      disabled={disabled}
      onClick={onAct}
      className="grid size-7 flex-none cursor-pointer place-items-center rounded-sm text-muted hover:bg-sunken hover:text-text disabled:cursor-default disabled:opacity-40"
    >
      <Icon name={icon} />
    </button>
  );
}
