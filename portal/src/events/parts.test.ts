import { readUIMessageStream } from "ai";
import { describe, expect, it } from "vitest";
import type { Chunk, Message, Part } from "./message";
import { partsOf } from "./parts";
import { recordedRuns } from "./recorded_runs";

/** What useChat makes of chunks. */
async function streamed(chunks: Chunk[]): Promise<Part[]> {
  const stream = new ReadableStream<Chunk>({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
  let parts: Part[] = [];
  for await (const message of readUIMessageStream<Message>({ stream, onError: () => undefined })) parts = message.parts;
  return parts;
}

/** Without what only says how a part was looked for. */
const plain = (parts: Part[]): unknown => JSON.parse(JSON.stringify(parts));

describe("the parts of an answer that was read", () => {
  it.each(recordedRuns())("of $name are those of one that streamed in", async ({ lines }) => {
    const chunks = lines.flatMap((line) => [...line.chunks]).filter((chunk) => chunk.type !== "error");

    expect(plain(partsOf(lines.map((line) => line.envelope)))).toEqual(plain(await streamed(chunks)));
  });

  it("show a type that nobody knows yet", () => {
    const [{ lines }] = recordedRuns() as [ReturnType<typeof recordedRuns>[number]];
    const parts = partsOf(lines.map((line) => line.envelope));

    expect(parts).toContainEqual({ type: "data-of-tomorrow", data: { is: "shown" } });
  });
});
