import { createInstance, type Resource } from "i18next";
import { renderToStaticMarkup } from "react-dom/server";
import { I18nextProvider, initReactI18next } from "react-i18next";
import { expect, it } from "vitest";
import { BlockFold } from "../events/block_fold";
import type { NoteBlock } from "../events/blocks";
import type { Envelope } from "../events/envelope";
import { recordedRuns } from "../events/recorded_runs";
import { isNote } from "../events/telling";
import { en } from "../i18n/en";
import { zh } from "../i18n/zh";
import { NoteLine } from "./NoteLine";

const everyType = recordedRuns().find(({ name }) => name === "every_type")?.events ?? [];
const notes = new BlockFold().add(everyType).filter((block) => block.kind === "note");
const resources: Resource = { en: { portal: en }, zh: { portal: zh } };

function told(note: NoteBlock | undefined, lng: "en" | "zh"): string {
  if (!note) return "";
  const i18n = createInstance();
  void i18n.use(initReactI18next).init({
    lng,
    resources,
    ns: ["portal"],
    defaultNS: "portal",
    keySeparator: false,
    interpolation: { escapeValue: false },
    initAsync: false,
  });
  const page = renderToStaticMarkup(
    <I18nextProvider i18n={i18n}>
      <NoteLine note={note} />
    </I18nextProvider>,
  );
  return page.replaceAll(/<[^>]*>/g, "").replaceAll("&quot;", '"');
}

it("tells in words what is a note, in both languages", () => {
  expect(notes.map(({ type }) => type)).toEqual(["run.warning", "context.restored", "workspace.sync_failed"]);
  for (const note of notes) {
    expect(told(note, "en")).not.toContain(note.type);
    if (note.type !== "run.warning") expect(told(note, "zh")).toMatch(/\p{Script=Han}/u);
  }
  expect(told(notes[1], "en")).toBe("Attempt 2. The agent goes on with all that it remembers.");
});

it("says why files are not saved, when it is tried again and what can be done", () => {
  const words = told(notes[2], "en");
  expect(words).toContain("The files could not be saved: The object store does not answer.");
  expect(words).toMatch(/tried again at \d\d:\d\d:\d\d.*paddock doctor/);
});

it("says what an attempt knows where that is not a matter of course", () => {
  const restored = (mode: string, attempt: number) => isNote("context.restored", { mode }, attempt);
  expect([restored("fresh", 1), restored("native_resume", 1)]).toEqual([false, false]);
  expect([restored("fresh", 2), restored("history_replay", 1), restored("of.tomorrow", 1)]).toEqual([true, true, true]);
  const note: NoteBlock = { kind: "note", key: "k", seq: 1, at: "", type: "context.restored", data: { mode: "dream" } };
  expect(told(note, "en")).toBe("What the agent remembers: dream.");
});

it("shows an event of tomorrow as it is, with what hides in it written out", () => {
  const event = { seq: 1, ts: "", type: "of.tomorrow", attempt: 1, data: { a: "x\u202ey" } } as unknown as Envelope;
  const [note] = new BlockFold().add([event]);
  expect(told(note as NoteBlock, "en")).toContain('"a": "x\\u202Ey"');
});
