/// <reference lib="webworker" />
import { answerFor } from "./answers";

declare const self: ServiceWorkerGlobalScope & {
  /** The page's own files, with a revision where the name does not say it. The build writes them here. */
  readonly __WB_MANIFEST: readonly { readonly url: string; readonly revision: string | null }[];
};

const PARTS = self.__WB_MANIFEST;
const KEPT = new Set(PARTS.map(({ url }) => new URL(url, self.location.origin).pathname));
const PREFIX = "paddock.page.";
/** A build's parts are together in a cache of their own; the page names its scripts by their hashes, so its revision is that of all. */
const CACHE = PREFIX + PARTS.map(({ revision }) => revision ?? "").join("");

/** No `skipWaiting`: the worker of an older page, and the parts it keeps for that, stay until the last such page is closed. */
self.addEventListener("install", (event) => event.waitUntil(fill()));
self.addEventListener("activate", (event) => event.waitUntil(Promise.all([clean(), self.clients.claim()])));
self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const isOurs = request.method === "GET" && url.origin === self.location.origin;
  const answer = isOurs ? answerFor(request, request.mode, url.pathname, KEPT, () => caches.open(CACHE)) : undefined;
  if (answer) event.respondWith(answer);
});

async function fill(): Promise<void> {
  const cache = await caches.open(CACHE);
  await Promise.all(
    PARTS.map(async ({ url, revision }) => {
      const isNamedByContent = revision === null;
      const kept = isNamedByContent ? await caches.match(url) : undefined;
      await cache.put(url, kept ?? (await fetched(url, isNamedByContent ? "default" : "reload")));
    }),
  );
}

async function fetched(url: string, cache: RequestCache): Promise<Response> {
  const response = await fetch(url, { cache });
  // what stands before the server may send one elsewhere to sign in: that is not the page
  if (!response.ok || response.redirected) throw new Error(`${url}: ${response.status}`);
  return response;
}

async function clean(): Promise<void> {
  const names = await caches.keys();
  const older = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(older.map((name) => caches.delete(name)));
}
