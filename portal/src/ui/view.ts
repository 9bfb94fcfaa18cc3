import { type ComponentType, lazy, type LazyExoticComponent } from "react";

/** A part of the page that could not be fetched: the server was built anew since the page was opened, or does not answer. */
export class PartMissing extends Error {}

/** A view that is loaded when it is first looked at. */
export function view<Props>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): LazyExoticComponent<ComponentType<Props>> {
  return lazy(() =>
    load().catch((error: unknown) => {
      throw new PartMissing("a part of the page is missing", { cause: error });
    }),
  );
}
