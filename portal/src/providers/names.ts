import { useTranslation } from "react-i18next";

const NAMES: Partial<Record<string, string>> = {
  "claude-code": "Claude Code",
  "codex-cli": "Codex",
  opencode: "OpenCode",
};

/** Returns what an agent is called; what makes up its answers says so wherever its name is. */
export function useProviderName(): (kind: string) => string {
  const { t } = useTranslation();
  return (kind) => {
    if (kind === "scripted") return t("providers.scripted");
    if (kind === "external") return t("providers.external");
    return kind === "acp" ? t("providers.acp") : (NAMES[kind] ?? kind);
  };
}
