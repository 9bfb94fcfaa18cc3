import { useMemo } from "react";
import type { Run } from "../api/queries";
import type { Message } from "../events/message";
import { type AwayPage, type ChatLog, type ChatPage, newestStretch, stretchesOf } from "./chat_log";
import { type Row, rowsOf } from "./rows";
import { turnsOf } from "./turns";

const NOTHING: ChatPage = { messages: [], earlier: null };
const NONE: ReadonlySet<string> = new Set();
const PART_PX = 50;

/** The rows of a chat: of what was read, with gaps where pages were put away, and at its end of what streams in. */
export function useRows(
  log: ChatLog | undefined,
  messages: readonly Message[],
  waiting: readonly Run[],
): readonly Row[] {
  const past = useMemo(() => (log ? stretchesOf(log).slice(0, -1).flatMap(rowsOfPast) : []), [log]);
  const now = useMemo(() => (log ? newestStretch(log) : NOTHING), [log]);
  return useMemo(() => {
    return [...past, ...rowsOf(turnsOf(now, messages, new Set(waiting.map(({ runId }) => runId))))];
  }, [past, now, messages, waiting]);
}

function rowsOfPast(stretch: ChatPage | AwayPage): readonly Row[] {
  if ("messages" in stretch) return rowsOf(turnsOf(stretch, [], NONE), false);
  const { before, size } = stretch;
  return [{ kind: "gap", key: `gap:${before}`, runId: undefined, before, height: size * PART_PX }];
}
