import { useState } from "react";

const PREFIX = "paddock.draft.";

/** What is typed and not sent, kept for each chat in this browser. */
export function useDraft(chatId: string): [string, (text: string) => void] {
  const [text, setText] = useState(() => localStorage.getItem(PREFIX + chatId) ?? "");
  const change = (changed: string) => {
    setText(changed);
    keep(PREFIX + chatId, changed);
  };
  return [text, change];
}

/** Leaves nothing of what was typed in this browser: whoever typed it goes. */
export function dropDrafts(): void {
  const drafts = Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  for (const name of drafts) localStorage.removeItem(name);
}

function keep(name: string, text: string): void {
  try {
    if (text === "") localStorage.removeItem(name);
    else localStorage.setItem(name, text);
  } catch {
    // no room left: it stays on the page, as long as that is open
  }
}
