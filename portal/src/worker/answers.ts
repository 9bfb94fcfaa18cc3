/** The address of the page in the cache; it is the same page for everybody and at all of its addresses. */
const PAGE = "/";
const ADDRESSES = /^\/(chats\/[^/]+|inbox|account)?$/;
const PATIENCE_MS = 5_000;
/** What proxies say where web is away. */
const AWAY: readonly number[] = [502, 503, 504];

interface Kept {
  match(url: string): Promise<Response | undefined>;
}

/** What the worker answers to a GET of this server, or nothing: then the browser asks the server as if there were no worker. It never
 * touches `/api`, streams, files that people made, and pages of the server's own. */
export function answerFor(
  request: Request,
  mode: RequestMode,
  path: string,
  parts: ReadonlySet<string>,
  open: () => Promise<Kept>,
): Promise<Response> | undefined {
  if (mode === "navigate") return ADDRESSES.test(path) ? page(request, open) : undefined;
  return path !== PAGE && parts.has(path) ? part(request, path, open) : undefined;
}

/** The newest page where the server answers; else the one that is kept, which says that the server is away and asks again. */
async function page(request: Request, open: () => Promise<Kept>): Promise<Response> {
  const answer = await Promise.race([fetch(request).catch(() => undefined), patience()]);
  if (answer && !AWAY.includes(answer.status)) return answer;
  const kept = await (await open()).match(PAGE);
  return kept ?? answer ?? Response.error();
}

async function part(request: Request, path: string, open: () => Promise<Kept>): Promise<Response> {
  return (await (await open()).match(path)) ?? fetch(request);
}

function patience(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), PATIENCE_MS));
}
