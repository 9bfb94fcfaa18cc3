import type { AskBlock } from "../events/blocks";
import { askedOf, resolutionOf } from "../human_loop/asked";
import { RequestCard } from "../human_loop/RequestCard";

/** What the agent asked in a conversation; once answered it stays, as what was answered. */
export function AskCard({ block }: { block: AskBlock }) {
  return <RequestCard asked={askedOf(block)} resolution={block.resolved && resolutionOf(block.resolved)} />;
}
