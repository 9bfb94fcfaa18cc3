import type { ComponentType } from "react";
import type { Run } from "../api/queries";
import type { Message } from "../events/message";
import type { Key } from "../i18n/en";
import { view } from "../ui/view";
import { RunFacts } from "./RunFacts";

/** What a tab of the side panel is about: the session, the run that the chat shows, and the messages that stream in. */
export interface PanelProps {
  sessionId: string;
  run: Run | undefined;
  messages: readonly Message[];
}

export interface PanelTab {
  id: string;
  title: Extract<Key, `panel.${string}`>;
  View: ComponentType<PanelProps>;
}

/** The tabs, from left to right. A view is loaded when it is first looked at: `view(() => import("…"))`. */
export const PANEL_TABS: readonly PanelTab[] = [
  { id: "todos", title: "panel.todos", View: view(() => import("../todos/TodosTab")) },
  { id: "timeline", title: "panel.timeline", View: view(() => import("../timeline/TimelineTab")) },
  { id: "workspace", title: "panel.workspace", View: view(() => import("../workspace/WorkspaceTab")) },
  { id: "run", title: "panel.run", View: RunFacts },
];
