import i18next, { type i18n } from "i18next";
import { initReactI18next } from "react-i18next";
import { en } from "./en";
import { zh } from "./zh";

export const LANGUAGES = { en: "EN", zh: "中文" } as const;
export type Language = keyof typeof LANGUAGES;

const REMEMBERED = "paddock.language";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "portal";
    resources: { portal: typeof en };
    keySeparator: false;
  }
}

/** Starts in the language that was chosen here, else in that of the browser. */
export function startI18n(): i18n {
  void i18next.use(initReactI18next).init({
    lng: initial(),
    fallbackLng: "en",
    defaultNS: "portal",
    ns: ["portal"],
    resources: { en: { portal: en }, zh: { portal: zh } },
    keySeparator: false,
    interpolation: { escapeValue: false }, // React escapes
    initAsync: false,
  });
  show(i18next.language);
  i18next.on("languageChanged", show);
  return i18next;
}

export function chooseLanguage(language: Language): void {
  localStorage.setItem(REMEMBERED, language);
  void i18next.changeLanguage(language);
}

function initial(): Language {
  const chosen = localStorage.getItem(REMEMBERED) ?? navigator.language;
  return chosen.startsWith("zh") ? "zh" : "en";
}

function show(language: string): void {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}
