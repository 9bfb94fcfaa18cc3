import type { ButtonHTMLAttributes } from "react";

const LOOKS = {
  plain: "border-line bg-panel hover:bg-sunken",
  primary: "border-accent bg-accent text-on-accent hover:opacity-90",
  danger: "border-line bg-panel text-bad hover:bg-bad-soft",
  quiet: "border-transparent text-muted hover:bg-sunken hover:text-text",
} as const;

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: keyof typeof LOOKS;
}

export function Button({ look = "plain", className = "", type = "button", ...rest }: Props) {
  return (
    <button
      type={type}
      className={`inline-flex min-h-8 cursor-pointer items-center justify-center gap-2 rounded-sm border px-3 py-1 font-medium whitespace-nowrap disabled:cursor-default disabled:opacity-50 ${LOOKS[look]} ${className}`}
      {...rest}
    />
  );
}
