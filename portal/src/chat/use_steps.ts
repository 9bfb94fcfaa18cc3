import type { Virtualizer } from "@tanstack/react-virtual";
import type { RefObject } from "react";
import { useTranslation } from "react-i18next";
import { useShortcut } from "../ui/shortcuts";
import { type Row, stepFrom } from "./rows";

/** `j` and `k` go from message to message: from the one that has the focus, and first of all to the last one in sight. */
export function useSteps(
  rows: readonly Row[],
  list: Virtualizer<HTMLDivElement, Element>,
  box: RefObject<HTMLDivElement | null>,
): void {
  const { t } = useTranslation();
  const step = (by: 1 | -1) => {
    if (!box.current || rows.length === 0) return;
    const here = box.current.contains(document.activeElement) && document.activeElement?.closest("[data-index]");
    const bottom = box.current.scrollTop + box.current.clientHeight;
    const seen = list.getVirtualItems().findLast(({ start }) => start < bottom)?.index ?? 0;
    const place = here ? stepFrom(rows, Number(here.getAttribute("data-index")), by) : stepFrom(rows, seen + 1, -1);
    list.scrollToIndex(place, { align: "auto" });
    if (!focusRow(box.current, place)) requestAnimationFrame(() => box.current && focusRow(box.current, place));
  };
  useShortcut("j", t("chat.next"), () => step(1));
  useShortcut("k", t("chat.previous"), () => step(-1));
}

/** True where the row is on the page. One that asks something has keys of its own, so it gets the focus itself. */
function focusRow(box: Element, place: number): boolean {
  const row = box.querySelector<HTMLElement>(`[data-index="${place}"]`);
  (row?.querySelector<HTMLElement>("[data-request]") ?? row)?.focus({ preventScroll: true });
  return row !== null;
}
