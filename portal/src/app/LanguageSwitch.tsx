import { useTranslation } from "react-i18next";
import { chooseLanguage, type Language, LANGUAGES } from "../i18n/i18n";
import { ChoiceGroup } from "../ui/ChoiceGroup";

export function LanguageSwitch() {
  const { t, i18n } = useTranslation();
  const choices = Object.entries(LANGUAGES) as [Language, string][];
  return <ChoiceGroup label={t("language.label")} choices={choices} value={i18n.language} onChoose={chooseLanguage} />;
}
