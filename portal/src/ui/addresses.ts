const FOLLOWED = new Set(["http:", "https:", "mailto:"]);

/** Returns the address if a link may lead there, else nothing: only whole ones, and only of kinds that run nothing. */
export function safeAddress(address: string | undefined): string | undefined {
  if (address === undefined || !URL.canParse(address)) return undefined;
  const { protocol, href } = new URL(address);
  return FOLLOWED.has(protocol) ? href : undefined;
}
