import { useState } from "react";
import { useTranslation } from "react-i18next";
import { ChoiceGroup } from "../ui/ChoiceGroup";
import { chooseTheme, chosenTheme, type Theme } from "./theme";

export function ThemeSwitch() {
  const { t } = useTranslation();
  const [theme, setTheme] = useState<Theme>(chosenTheme);
  const choices = [
    ["system", t("theme.system")],
    ["light", t("theme.light")],
    ["dark", t("theme.dark")],
  ] as const;
  const choose = (chosen: Theme) => {
    chooseTheme(chosen);
    setTheme(chosen);
  };
  return <ChoiceGroup label={t("theme.label")} choices={choices} value={theme} onChoose={choose} />;
}
