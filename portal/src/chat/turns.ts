import type { Run } from "../api/queries";
import type { Message } from "../events/message";

/** One turn of a conversation: what the person said, and the answer, from the log or as it streams in. */
export interface Turn {
  readonly key: string;
  readonly prompt: string;
  readonly run: Run | undefined;
  readonly live: Message | undefined;
}

/** Returns the turns in reading order. `runs` come the newest first, `messages` in the order in which they were said here. */
export function turnsOf(runs: readonly Run[], messages: readonly Message[]): Turn[] {
  const answers = new Map(messages.flatMap((each) => (each.role === "assistant" ? [[each.id, each] as const] : [])));
  const known = new Set(runs.map((run) => run.runId));
  const logged = runs.map((run): Turn => {
    return { key: run.runId, prompt: run.prompt, run, live: answers.get(run.runId) };
  });
  return [...logged.reverse(), ...unlisted(messages, known)];
}

/** What was said here and is in no list of the server's yet. */
function unlisted(messages: readonly Message[], known: ReadonlySet<string>): Turn[] {
  return messages.flatMap((message, place): Turn[] => {
    if (message.role !== "user") return [];
    const answer = messages[place + 1];
    const live = answer?.role === "assistant" ? answer : undefined;
    if (live && known.has(live.id)) return [];
    return [{ key: live?.id ?? message.id, prompt: textOf(message), run: undefined, live }];
  });
}

function textOf(message: Message): string {
  return message.parts.flatMap((part) => (part.type === "text" ? [part.text] : [])).join("\n");
}
