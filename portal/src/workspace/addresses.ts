const below = (sessionId: string) => `/api/session-workers/${encodeURIComponent(sessionId)}/workspace`;

/** Where a file, a folder (as an archive) or, without a path, everything is downloaded. The server sends it as an attachment. */
export function downloadAddress(sessionId: string, path = ""): string {
  return `${below(sessionId)}/download${path === "" ? "" : `?${new URLSearchParams({ path }).toString()}`}`;
}

/** Where a picture is shown from: only what the server finds to be one by its bytes comes as one. */
export function pictureAddress(sessionId: string, path: string): string {
  return `${below(sessionId)}/download?${new URLSearchParams({ path, inline: "true" }).toString()}`;
}

export function patchAddress(sessionId: string, against: string | null): string {
  return `${below(sessionId)}/diff?${new URLSearchParams({ format: "patch", ...(against !== null && { against }) }).toString()}`;
}
