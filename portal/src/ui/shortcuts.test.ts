// @vitest-environment happy-dom
import { renderHook } from "@testing-library/react";
import { beforeAll, expect, it, vi } from "vitest";
import { startShortcuts, useShortcut } from "./shortcuts";

beforeAll(startShortcuts);

function press(key: string, init: KeyboardEventInit = {}, target: EventTarget = document.body): KeyboardEvent {
  const event = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init });
  target.dispatchEvent(event);
  return event;
}

it("does what a key is bound to while the component is there", () => {
  const act = vi.fn();
  const { unmount } = renderHook(() => useShortcut("]", "toggle", act));

  expect(press("]").defaultPrevented).toBe(true);
  unmount();
  expect(press("]").defaultPrevented).toBe(false);
  expect(act).toHaveBeenCalledTimes(1);
});

it("knows two keys in a row, and leaves the second alone otherwise", () => {
  const [inbox, other] = [vi.fn(), vi.fn()];
  renderHook(() => useShortcut("g i", "inbox", inbox));
  renderHook(() => useShortcut("i", "other", other));

  press("i");
  press("g");
  press("i");
  press("i");

  expect(inbox).toHaveBeenCalledTimes(1);
  expect(other).toHaveBeenCalledTimes(2);
});

it("leaves what is typed and what the browser knows alone", () => {
  const act = vi.fn();
  renderHook(() => useShortcut("n", "new", act));
  const field = document.body.appendChild(document.createElement("textarea"));

  press("n", {}, field);
  press("n", { ctrlKey: true });
  press("n", { isComposing: true });

  expect(act).not.toHaveBeenCalled();
});
