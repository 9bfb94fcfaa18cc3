import { type ReactNode, useState } from "react";
import { pictureAddress } from "./addresses";
import { shownName } from "./names";

interface Props {
  sessionId: string;
  path: string;
  /** Shown where it turns out to be no picture. */
  otherwise: ReactNode;
}

export function PicturePreview({ sessionId, path, otherwise }: Props) {
  const [isPicture, setIsPicture] = useState(true);
  if (!isPicture) return otherwise;
  return (
    <div className="grid min-h-0 flex-1 place-items-center overflow-auto bg-code p-4">
      <img
        src={pictureAddress(sessionId, path)}
        alt={shownName(path)}
        onError={() => setIsPicture(false)}
        className="max-h-full max-w-full object-contain"
      />
    </div>
  );
}
