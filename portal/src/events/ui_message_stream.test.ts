import { describe, expect, it } from "vitest";
import { recordedRuns } from "./recorded_runs";
import { UiMessageStream } from "./ui_message_stream";

describe("the projection to AI SDK's chunks", () => {
  it.each(recordedRuns())("makes of $name what the server makes of it", ({ lines }) => {
    const projection = new UiMessageStream();
    for (const { envelope, chunks } of lines) expect(projection.project(envelope)).toEqual(chunks);
  });

  it("takes a log from its middle on: what was begun before is begun anew", () => {
    const projection = new UiMessageStream();
    const event = { id: "e", runId: "run_1", sessionId: "s", ts: "", attempt: 1, traceId: "t" };
    const chunks = [
      { ...event, seq: 7, type: "message.stop", data: { messageId: "m", text: "whole" } },
      { ...event, seq: 8, type: "tool.result", data: { toolCallId: "c", status: "ok", output: "done" } },
    ].flatMap((each) => projection.project(each));

    expect(chunks.map((chunk) => chunk.type)).toEqual([
      "start",
      "text-start",
      "text-delta",
      "text-end",
      "data-tool-result",
    ]);
  });

  it("does not take a type of tomorrow for a property that every object has", () => {
    const event = { id: "e", runId: "run_1", sessionId: "s", seq: 1, ts: "", attempt: 1, traceId: "t" };
    const chunks = new UiMessageStream().project({ ...event, type: "constructor", data: { a: 1 } });

    expect(chunks.at(-1)).toEqual({ type: "data-constructor", data: { a: 1 } });
  });
});
