import createClient, { type Middleware } from "openapi-fetch";
import { problemOf } from "./problem";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];

let csrfToken = "";

/** Remembers what proves that a change comes from this page; it belongs to the session of the cookie. */
export function setCsrfToken(token: string | undefined): void {
  csrfToken = token ?? "";
}

const proving: Middleware = {
  onRequest({ request }) {
    if (request.method !== "GET" && csrfToken !== "") request.headers.set("X-CSRF-Token", csrfToken);
    return request;
  },
};

/** The server's API, typed by its own document. */
export const api = createClient<paths, "application/json">({
  baseUrl: window.location.origin,
  fetch: (request) => window.fetch(request),
});
api.use(proving);

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** Returns what was answered, or throws it as a Problem. */
export async function answered<T>(call: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await call.catch((thrown: unknown) => {
    throw problemOf(thrown);
  });
  if (!response.ok || data === undefined) throw problemOf(error ?? response.statusText, response.status);
  return data;
}

/** A header for one act: sent again with the same key, it is done once. */
export function keyed(key: string = newKey()): { header: { "Idempotency-Key": string } } {
  return { header: { "Idempotency-Key": key } };
}

/** `crypto.randomUUID` is there only where the page came over https or from this machine. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
