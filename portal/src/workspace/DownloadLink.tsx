import type { ReactNode } from "react";
import { Icon } from "../ui/Icon";

interface Props {
  href: string;
  children: ReactNode;
}

/** A way to have bytes of a workspace saved: the server sends them as an attachment, whatever they are. */
export function DownloadLink({ href, children }: Props) {
  return (
    <a
      href={href}
      download
      className="inline-flex min-h-8 items-center gap-1.5 rounded-sm border border-line bg-panel px-2.5 py-1 text-sm font-medium whitespace-nowrap hover:bg-sunken"
    >
      <Icon name="download" />
      {children}
    </a>
  );
}
