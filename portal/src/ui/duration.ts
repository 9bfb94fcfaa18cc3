/** How long something took, for people: `0.3 s`, `12 s`, `3 min 5 s`, `2 h 10 min`. */
export function durationOf(from: string, to: string, language: string): string {
  return spanText((Date.parse(to) - Date.parse(from)) / 1000, language);
}

export function spanText(seconds: number, language: string): string {
  const parts = (units: readonly (readonly [number, "hour" | "minute" | "second"])[], digits = 0) =>
    units
      .filter(([value], place) => place === 0 || value > 0)
      .map(([value, unit]) =>
        new Intl.NumberFormat(language, { ...STYLE, unit, maximumFractionDigits: digits }).format(value),
      )
      .join(" ");
  const whole = Math.max(0, Math.round(seconds));
  if (seconds < 9.95) return parts([[Math.max(0, seconds), "second"]], 1);
  if (whole < 60) return parts([[whole, "second"]]);
  if (whole < 3600)
    return parts([
      [Math.floor(whole / 60), "minute"],
      [whole % 60, "second"],
    ]);
  return parts([
    [Math.floor(whole / 3600), "hour"],
    [Math.floor((whole % 3600) / 60), "minute"],
  ]);
}

const STYLE: Intl.NumberFormatOptions = { style: "unit", unitDisplay: "short" };
