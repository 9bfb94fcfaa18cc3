"""A small agent of the Agent Client Protocol, for the provider acp with a command of the operator's: says its folder and asks to write
into it. Standard library only; run as a script."""

from __future__ import annotations

import json
import sys
from typing import Any


def send(**members: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **members}), flush=True)


def update(**fields: Any) -> None:
    send(method="session/update", params={"sessionId": "s1", "update": fields})


def main() -> None:
    folder, prompt_id = "", None
    for line in sys.stdin:
        told = json.loads(line)
        match told.get("method"):
            case "initialize":
                send(id=told["id"], result={"protocolVersion": 1, "agentCapabilities": {}})
            case "session/new":
                folder = told["params"]["cwd"]
                send(id=told["id"], result={"sessionId": "s1"})
            case "session/prompt":
                prompt_id = told["id"]
                update(sessionUpdate="agent_message_chunk", content={"type": "text", "text": f"in {folder}"})
                call = {"toolCallId": "t1", "title": "Write a.txt", "kind": "edit", "rawInput": {"path": "a.txt"}}
                update(sessionUpdate="tool_call", status="pending", **call)
                options = [{"optionId": "y", "name": "Yes", "kind": "allow_once"}]
                send(
                    id=1,
                    method="session/request_permission",
                    params={"sessionId": "s1", "toolCall": call, "options": options},
                )
            case None if told["result"]["outcome"].get("optionId") == "y":
                with open(f"{folder}/a.txt", "w", encoding="utf-8") as file:
                    file.write("hello")
                update(sessionUpdate="tool_call_update", toolCallId="t1", status="completed")
                send(id=prompt_id, result={"stopReason": "end_turn"})


if __name__ == "__main__":
    main()
