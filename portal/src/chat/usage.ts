import type { TFunction } from "i18next";

type Usage = Readonly<Record<string, unknown>>;

/** Returns what a run used, in words: tokens in and out, what of them came from the cache, cost. */
export function usageText(usage: Usage, language: string, t: TFunction): string[] {
  const count = (...names: readonly string[]) => names.reduce((sum, name) => sum + Number(usage[name] ?? 0), 0);
  const short = new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
  const cached = count("cacheRead");
  const read = count("input", "cacheRead", "cacheWrite5m", "cacheWrite1h");
  const written = count("output", "reasoning");
  if (read + written === 0) return [];
  const cost = count("costUsd");
  const about = count("estimated") > 0 ? "≈ " : "";
  return [
    about + t("usage.tokens", { read: short.format(read), written: short.format(written) }),
    ...(cached > 0 ? [t("usage.cached", { cached: short.format(cached) })] : []),
    ...(cost > 0 ? [costText(cost, language)] : []),
  ];
}

/** Money: cents where there are some, else as much as says something. */
export function costText(usd: number, language: string): string {
  const digits = usd >= 0.1 ? 2 : 4;
  return new Intl.NumberFormat(language, { style: "currency", currency: "USD", maximumFractionDigits: digits }).format(
    usd,
  );
}
