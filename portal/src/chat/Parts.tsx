import type { Part } from "../events/message";
import { PartView } from "./PartView";

/** Parts are only ever added at the end or changed in place, so their place is their key. */
export function Parts({ parts }: { parts: readonly Part[] }) {
  return parts.map((part, place) => <PartView key={place} part={part} />);
}
