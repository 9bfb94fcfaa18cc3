/** Everything of the page that can take the focus, regions among it: these have `tabIndex={-1}`. */
const TAKES_FOCUS = "[tabindex], a[href], button:enabled, input:enabled, textarea:enabled, select:enabled, summary";
const FALLBACK = "main";

/** What had the focus last, and what it was in, from the inside out: an element that was taken off the page is in nothing any more. */
let path: readonly Element[] = [];
let isLooking = false;

/**
 * Never leaves who works by keyboard at the beginning of the page: where what had the focus goes, or can no longer be used, the
 * focus goes to the nearest thing around it that can take it.
 */
export function startFocusKeeper(): void {
  document.addEventListener("focusin", ({ target }) => {
    if (target instanceof Element) path = pathOf(target);
  });
  document.addEventListener("pointerdown", () => {
    path = []; // beside everything: meant
  });
  new MutationObserver(lookSoon).observe(document.body, {
    childList: true,
    subtree: true,
    attributeFilter: ["class", "disabled", "hidden"],
  });
}

function lookSoon(): void {
  if (isLooking) return;
  isLooking = true;
  requestAnimationFrame(() =>
    setTimeout(() => {
      isLooking = false;
      look();
    }),
  ); // once the browser has seen what became of it
}

function look(): void {
  const [had, ...around] = path;
  const active = document.activeElement;
  if (!had || isUsable(had) || (active !== null && active !== document.body && active !== had)) return;
  const next = around.find((each) => each.matches(TAKES_FOCUS) && isUsable(each)) ?? document.querySelector(FALLBACK);
  if (next instanceof HTMLElement) next.focus({ preventScroll: true });
}

function isUsable(element: Element): boolean {
  return element.isConnected && element.checkVisibility() && !element.matches(":disabled");
}

function pathOf(target: Element): readonly Element[] {
  const found: Element[] = [];
  for (let each: Element | null = target; each; each = each.parentElement) found.push(each);
  return found;
}
