import { describe, expect, it, vi } from "vitest";
import { answerFor } from "./answers";

const PARTS = new Set(["/", "/assets/index-1a.js"]);
const keeps = (...paths: string[]) => {
  const match = (path: string) => Promise.resolve(paths.includes(path) ? new Response(`kept ${path}`) : undefined);
  return () => Promise.resolve({ match });
};

function asked(path: string, mode: RequestMode = "cors", open = keeps(...PARTS)) {
  return answerFor(new Request(`http://here${path}`), mode, path, PARTS, open);
}

function serverSays(answer: () => Promise<Response>) {
  vi.stubGlobal("fetch", vi.fn(answer));
}

describe("the service worker", () => {
  it.each(["/api/me", "/api/runs/run_1/stream", "/ws", "/login", "/openapi", "/", "/sw.js", "/assets/other.js"])(
    "leaves %s to the server",
    (path) => {
      expect(asked(path)).toBeUndefined();
    },
  );

  it.each(["/login", "/openapi", "/api/runs/run_1/files/a.html", "/chats", "/chats/a/b"])(
    "leaves going to %s to the server",
    (path) => {
      expect(asked(path, "navigate")).toBeUndefined();
    },
  );

  it.each(["/", "/chats/ses_1", "/inbox", "/account"])(
    "shows the newest page at %s where the server answers",
    async (path) => {
      serverSays(() => Promise.resolve(new Response("newest")));
      const answer = await asked(path, "navigate");
      expect(await answer?.text()).toBe("newest");
    },
  );

  it.each([502, 503, 504])("shows the page it keeps where a proxy says %i", async (status) => {
    serverSays(() => Promise.resolve(new Response("away", { status })));
    const answer = await asked("/inbox", "navigate");
    expect(await answer?.text()).toBe("kept /");
  });

  it("shows what the server refuses, too", async () => {
    serverSays(() => Promise.resolve(new Response("refused", { status: 403 })));
    expect((await asked("/inbox", "navigate"))?.status).toBe(403);
  });

  it("shows the page it keeps where nobody answers", async () => {
    serverSays(() => Promise.reject(new TypeError("nobody there")));
    const answer = await asked("/chats/ses_1", "navigate");
    expect(await answer?.text()).toBe("kept /");
  });

  it("does not wait for a server that is silent", async () => {
    vi.useFakeTimers();
    serverSays(() => new Promise(() => undefined));
    const answer = asked("/", "navigate");
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await (await answer)?.text()).toBe("kept /");
    vi.useRealTimers();
  });

  it("gives a part that it keeps, and fetches one that the browser has thrown away", async () => {
    serverSays(() => Promise.resolve(new Response("fetched")));
    expect(await (await asked("/assets/index-1a.js"))?.text()).toBe("kept /assets/index-1a.js");
    expect(await (await asked("/assets/index-1a.js", "cors", keeps()))?.text()).toBe("fetched");
  });
});
