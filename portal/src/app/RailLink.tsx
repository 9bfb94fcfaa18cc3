import { Link, useLocation } from "wouter";
import { Icon, type IconName } from "../ui/Icon";

interface Props {
  href: string;
  icon: IconName;
  label: string;
  isHere?: boolean;
  /** Shown at the icon; the label says it in words. */
  count?: number;
  className?: string;
}

const MOST = 99;

/** A way to one of the main pages. */
export function RailLink({ href, icon, label, isHere, count = 0, className = "" }: Props) {
  const [location] = useLocation();
  return (
    <Link
      href={href}
      aria-label={label}
      title={label}
      aria-current={(isHere ?? location === href) ? "page" : undefined}
      className={`relative grid size-9 place-items-center rounded-sm text-muted hover:bg-sunken aria-[current=page]:bg-accent-soft aria-[current=page]:text-accent ${className}`}
    >
      <Icon name={icon} />
      {count > 0 && (
        <span
          aria-hidden
          className="absolute top-0.5 right-0 grid h-4 min-w-4 place-items-center rounded-full bg-warn-line px-1 text-[10px] leading-none font-semibold text-badge"
        >
          {count > MOST ? `${MOST}+` : count}
        </span>
      )}
    </Link>
  );
}
