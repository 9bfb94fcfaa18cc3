/** Letters that show nothing or turn the order of others: a name must not look like another. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu;

/** A name from a workspace as it may be shown: `a\u202Etxt.exe` for one that would read `aexe.txt`. */
export function shownName(name: string): string {
  return name.replace(
    UNSEEN,
    (letter) => `\\u${(letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`,
  );
}

const UNITS = ["byte", "kilobyte", "megabyte", "gigabyte"] as const;

/** A size for people: `12 byte`, `3.4 kB`. */
export function sizeText(bytes: number, language: string): string {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const unit = UNITS[power] ?? "byte";
  const maximumFractionDigits = power === 0 || bytes / 1000 ** power >= 99.5 ? 0 : 1;
  const form = { style: "unit", unit, unitDisplay: power === 0 ? "long" : "short", maximumFractionDigits } as const;
  return new Intl.NumberFormat(language, form).format(bytes / 1000 ** power);
}
