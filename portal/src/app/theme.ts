export type Theme = "system" | "light" | "dark";

const REMEMBERED = "paddock.theme";
const dark = window.matchMedia("(prefers-color-scheme: dark)");

/** Shows the page in the theme that was chosen here, and follows the system where none was. */
export function startTheme(): void {
  dark.addEventListener("change", show);
  show();
}

export function chosenTheme(): Theme {
  const chosen = localStorage.getItem(REMEMBERED);
  return chosen === "light" || chosen === "dark" ? chosen : "system";
}

export function chooseTheme(theme: Theme): void {
  localStorage.setItem(REMEMBERED, theme);
  show();
}

function show(): void {
  const chosen = chosenTheme();
  document.documentElement.dataset["theme"] = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
}
