import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { answered, api, type Schemas } from "../api/client";

export type Entry = Schemas["TreeEntry"];
export type ChangedFile = Schemas["DiffFile"];
export type Snapshot = Schemas["SnapshotView"];
export type Origin = Pick<Schemas["Tree"], "source" | "savedAt">;

/** Everything that is read of a session's files: forgotten together when they were saved anew. */
export const workspaceKey = (sessionId: string) => ["workspace", sessionId] as const;

const LOOK_AGAIN_MS = 15_000;

/** One level of a folder. Reading starts no sandbox. */
export const folderQuery = (sessionId: string, path: string) =>
  queryOptions({
    queryKey: [...workspaceKey(sessionId), "tree", path],
    queryFn: () => {
      const params = { path: { session_id: sessionId }, query: { path } };
      return answered(api.GET("/api/session-workers/{session_id}/workspace/tree", { params }));
    },
    refetchInterval: path === "" ? LOOK_AGAIN_MS : false,
  });

/** What changed since the session's start, or since a snapshot, file by file. */
export const changesQuery = (sessionId: string, against: string | null) =>
  queryOptions({
    queryKey: [...workspaceKey(sessionId), "changes", against],
    queryFn: () => {
      const params = { path: { session_id: sessionId }, query: { format: "files" as const, against } };
      return answered(api.GET("/api/session-workers/{session_id}/workspace/diff", { params }));
    },
  });

export const snapshotsQuery = (sessionId: string) =>
  infiniteQueryOptions({
    queryKey: [...workspaceKey(sessionId), "snapshots"],
    queryFn: ({ pageParam }) => {
      const params = { path: { session_id: sessionId }, query: { limit: 50, cursor: pageParam } };
      return answered(api.GET("/api/session-workers/{session_id}/workspace/snapshots", { params }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.nextCursor,
  });

/** Bytes of a page: few enough to be coloured. */
const PAGE_BYTES = 24 * 1024;

export interface FilePart {
  readonly bytes: Uint8Array;
  readonly end: number;
  readonly size: number;
  readonly isText: boolean;
}

/** A file from its beginning, page after page. */
export const fileQuery = (sessionId: string, path: string) =>
  infiniteQueryOptions({
    queryKey: [...workspaceKey(sessionId), "file", path],
    queryFn: async ({ pageParam }): Promise<FilePart> => {
      const params = { path: { session_id: sessionId }, query: { path, offset: pageParam, limit: PAGE_BYTES } };
      let size = 0;
      let isText = false;
      const call = api.GET("/api/session-workers/{session_id}/workspace/file", { params, parseAs: "arrayBuffer" });
      const data = await answered(
        call.then((answer) => {
          size = Number(answer.response.headers.get("X-Size"));
          isText = answer.response.headers.get("X-Content") === "text";
          return answer;
        }),
      );
      const bytes = new Uint8Array(data);
      return { bytes, end: pageParam + bytes.length, size, isText };
    },
    initialPageParam: 0,
    getNextPageParam: (part) => (part.bytes.length > 0 && part.end < part.size ? part.end : null),
  });
