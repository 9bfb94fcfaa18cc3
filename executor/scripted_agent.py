"""The scripted agent: a child process that behaves like a coding agent and needs none. Its "model" is the prompt.

Plain text is answered by an echo; a line that begins with `/` is a directive (docs/scripted-provider.md lists them). It
speaks JSON lines on stdio, does what it says for real (files in its working directory, commands), and remembers its
conversation in its HOME. Started as `python -I -S`, with the standard library only and late imports, it is up in some
30 ms. What its lines mean to the product is known in `app/providers/scripted.py`; nothing here knows the state of runs.

In:  {type: start, conversation, resume, run, attempt, prompt, continue} · {type: reply, id, allow, message, answers} ·
     {type: steer, id, text} · {type: interrupt}
Out: ready · delta · message · thinking_delta · thinking · tool · output · result · todos · permission · question ·
     withdraw · steered · usage · end
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # the isolated mode hides the neighbours

from executor.scripted_wire import Line, Transcript, TurnEndedError, TurnInterruptedError, Wire

CHUNK = 12
"""Characters of a delta, more or less: it ends with a word."""
LONGEST_OUTPUT = 4 * 1024 * 1024
"""Characters of a command's output that its result repeats."""
MARKS = {"[x]": "completed", "[>]": "in_progress", "[ ]": "pending"}


def steps_of(prompt: str) -> list[tuple[str, str]]:
    """Return the prompt as `(directive, argument)` pairs; plain text is the directive `echo`."""
    steps: list[tuple[str, str]] = []
    for line in prompt.splitlines():
        name, _, argument = line.partition(" ")
        if line.startswith("/") and hasattr(Agent, "do_" + name[1:].replace("+", "_many")):
            steps += _expanded(name[1:].replace("+", "_many"), argument.strip())
        elif steps and steps[-1][0] == "echo":
            steps[-1] = ("echo", steps[-1][1] + "\n" + line)
        elif line.strip() or not steps:
            steps.append(("echo", line))
    return steps or [("echo", "")]


def _expanded(name: str, argument: str) -> list[tuple[str, str]]:
    """Return a directive with a count as that many steps, so that each is remembered by itself."""
    if name == "steps":
        return [("run", f"echo step {i} >> steps.txt && echo step {i}") for i in range(1, int(argument or 1) + 1)]
    count, _, rest = argument.partition(" ")
    if name == "approve" and count.isdigit() and rest:
        return [("approve", f"{rest} ({i} of {count})") for i in range(1, int(count) + 1)]
    return [(name, argument)]


def pieces(text: str) -> Iterator[str]:
    """Split a text into deltas that join to exactly it."""
    start = 0
    while start < len(text):
        end = text.find(" ", start + CHUNK)
        end = len(text) if end < 0 else end + 1
        yield text[start:end]
        start = end


class Agent:
    """One conversation. Each `do_` method is a directive; its argument is the rest of the line."""

    def __init__(self, wire: Wire, start: Line) -> None:
        self.told: list[Line] = list(start.get("answers") or [])
        self.wire = wire
        self.run = str(start["run"])
        self.attempt = int(start["attempt"])
        self.prompt = str(start["prompt"])
        self.transcript = Transcript(str(start["conversation"]))
        self.step = 0
        self.words = 0
        self.usage: dict[str, float] | None = None
        self.timeout: float | None = None
        self._ids: dict[str, int] = {}
        self._open_message: tuple[str, str, list[str]] | None = None
        self._open_tools: dict[str, Line] = {}
        self._asked: str | None = None

    def turn(self) -> None:
        """Do the steps that are not done yet, those of messages that come meanwhile after the prompt's, and send the end."""
        if not any(fact.get("prompt") is not None and fact.get("run") == self.run for fact in self.transcript.facts):
            self.transcript.add(run=self.run, prompt=self.prompt)
        self.wire.interruptible, self.wire.on_steer = True, self._take_steer
        try:
            self.step = 0
            while self.step < len(steps := self._steps()):
                name, argument = steps[self.step]
                if not self.transcript.has("done", self.run, self.step):
                    getattr(self, "do_" + name)(argument)
                    self.transcript.add(run=self.run, done=self.step)
                self.step += 1
            end: Line = {"status": "succeeded", "reason": "end_turn"}
        except TurnInterruptedError:
            end = {"status": "canceled", "reason": "interrupted"}
        except TurnEndedError as ended:
            end = ended.line
        except ValueError as error:
            end = {"status": "failed", "reason": "error", "code": "agent_error", "message": f"Bad directive: {error}"}
        self.wire.interruptible, self.wire.on_steer = False, None
        self._close()
        self._send_usage()
        self.wire.send("end", **end)

    def _steps(self) -> list[tuple[str, str]]:
        told = [fact["steer"] for fact in self.transcript.facts if "steer" in fact and fact["run"] == self.run]
        return [step for text in (self.prompt, *told) for step in steps_of(text)]

    def _take_steer(self, line: Line) -> None:
        if line["id"] not in self.transcript.values("steered"):
            self.transcript.add(run=self.run, steer=str(line["text"]), steered=line["id"])
            self.wire.tell("steered", id=line["id"])

    # --- text

    def do_echo(self, text: str) -> None:
        self.do_say(
            f"You said: {text.strip()}\n\nI am the scripted agent. I echo plain text and follow directives such as /write, "
            "/run and /ask; no model was called."
        )

    def do_say(self, text: str) -> None:
        self._stream("message", "delta", pieces(text))

    def do_think(self, text: str) -> None:
        self._stream("thinking", "thinking_delta", pieces(text))

    def do_deltas(self, argument: str) -> None:
        count, size = _pair(argument, "10", "16")
        self._stream("message", "delta", ((f"{i} " + "·" * int(size))[: int(size)] for i in range(int(count))))

    def do_slow(self, argument: str) -> None:
        count, pause_ms = _pair(argument, "10", "100")

        def slowly() -> Iterator[str]:
            for i in range(int(count)):
                self._wait(int(pause_ms) / 1000)
                yield f"word {i + 1} "

        self._stream("message", "delta", slowly())

    def do_recall(self, _: str) -> None:
        remembered = self.transcript.values("remember")
        earlier = [fact["prompt"] for fact in self.transcript.facts if "prompt" in fact and fact["run"] != self.run]
        self.do_say(
            f"I remember: {'; '.join(remembered) or 'nothing'}. Earlier messages: {json.dumps(earlier, ensure_ascii=False)}"
        )

    def do_remember(self, text: str) -> None:
        self.transcript.add(remember=text)
        self.do_say("I will remember that.")

    # --- tools

    def do_write(self, argument: str) -> None:
        path, _, told = argument.partition(" ")
        text = told.replace("\\n", "\n")
        call = self._tool("Write", "edit", f"Write {path}", {"path": path, "content": text})
        self._guarded(call, lambda: self._write(path, text))

    def do_read(self, path: str) -> None:
        call = self._tool("Read", "read", f"Read {path}", {"path": path})
        self._guarded(call, lambda: _read(path))

    def do_run(self, command: str) -> None:
        call = self._tool("Bash", "execute", command, {"command": command})
        if self.transcript.has("began", self.run, self.step):
            self._result(call, "error", "This was interrupted before; whether it ran to its end is not known.")
        elif self._allowed(call, f"Run: {command}"):
            self.transcript.add(run=self.run, began=self.step)
            self._execute(call, command)

    def do_approve(self, title: str) -> None:
        title = title or "Go on?"
        call = self._tool("Approve", "other", title, {"title": title})
        self._guarded(call, lambda: "approved")

    def do_ask(self, argument: str, multiple: bool = False) -> None:
        question, *options = [part.strip() for part in argument.split("|")]
        asked: Line = {"id": "q1", "question": question, "options": [{"label": option} for option in options]}
        asked |= {"multiple": True} if multiple else {}
        reply = self._await("question", title=question, questions=[asked])
        chosen = [str(item) for item in (reply.get("answers") or {}).get("q1", [])]
        self.do_say(f"You answered: {', '.join(chosen)}" if chosen else "You did not answer.")

    def do_ask_many(self, argument: str) -> None:
        self.do_ask(argument, multiple=True)

    def do_timeout(self, seconds: str) -> None:
        self.timeout = float(seconds)

    def do_todo(self, argument: str) -> None:
        todos = []
        for number, item in enumerate(part.strip() for part in argument.split(";") if part.strip()):
            content = item[3:].strip() if item[:3] in MARKS else item
            todos.append({"id": str(number + 1), "content": content, "status": MARKS.get(item[:3], "pending")})
        self.wire.send("todos", todos=todos)

    def do_flood(self, size: str, line: str = "flood " * 170 + "\n") -> None:
        call, left = self._tool("Flood", "other", f"Flood of {size} bytes", {"bytes": int(size)}), int(size)
        while left > 0:
            self.wire.send("output", id=call, text=line[:left])
            left -= len(line)
        self._result(call, "ok", f"{size} bytes")

    def do_line(self, size: str) -> None:
        self.do_flood(size, "x" * int(size))

    def do_spawn(self, seconds: str) -> None:
        import subprocess

        child = subprocess.Popen(["/bin/sleep", seconds], start_new_session=True)
        self.do_say(f"Left process {child.pid} behind.")

    # --- trouble

    def do_sleep(self, seconds: str) -> None:
        self._wait(float(seconds))

    def do_garbage(self, _: str) -> None:
        self.wire.raw(b'this is not JSON\n{"type":"from_the_future"}\n[1,2]\n\xff\xfe\x00\n\n{"type":\n')
        self.do_stderr("garbage was sent")

    def do_noise(self, size: str) -> None:
        line = b"\xff\xfe\x1b[31m\x1b]0;title\x07\xf0\x9f noise" * 36 + b"\n"
        for _ in range(0, int(size), 2 * len(line)):
            self.wire.raw(line)
            os.write(2, line)
            self.wire.look(0)

    def do_stderr(self, text: str) -> None:
        os.write(2, text.encode() + b"\n")

    def do_usage(self, argument: str) -> None:
        input_, output, cost = [*argument.split(), "0", "0"][:3]
        self.usage = {"input": int(input_), "output": int(output), "costUsd": float(cost)}
        self._send_usage()

    def do_fail(self, argument: str) -> None:
        code, until = _pair(argument, "agent_error")
        if self._now(until):
            raise TurnEndedError(status="failed", reason="error", code=code, message=f"The script said /fail {code}.")

    def do_exit(self, argument: str) -> None:
        code, until = _pair(argument, "1")
        if self._now(until):
            sys.exit(int(code))

    def do_crash(self, until: str) -> None:
        if self._now(until):
            os.kill(os.getpid(), signal.SIGKILL)

    def do_deaf(self, _: str) -> None:
        self.wire.deaf = True
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    do_steps = do_run  # expanded into single steps before it gets here

    # --- the parts of it

    def _now(self, until: str) -> bool:
        """Trouble with a number happens in attempts up to it, without one always."""
        return not until or self.attempt <= int(until)

    def _id(self, prefix: str) -> str:
        self._ids[prefix] = self._ids.get(prefix, 0) + 1
        return f"{prefix}_{self.attempt}_{self._ids[prefix]}"

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.wire.look(left)

    def _stream(self, whole: str, delta: str, parts: Iterator[str]) -> None:
        message, said = self._id("msg"), list[str]()
        self._open_message = (whole, message, said)
        for part in parts:
            said.append(part)
            self.words += len(part.split())
            self.wire.send(delta, id=message, text=part)
        self._open_message = None
        self.wire.send(whole, id=message, text="".join(said))

    def _tool(self, name: str, kind: str, title: str, given: Line) -> str:
        call = self._id("call")
        self._open_tools[call] = {"title": title, "tool": name, "kind": kind, "input": given}
        self.wire.send("tool", id=call, name=name, kind=kind, title=title, input=given)
        return call

    def _result(self, call: str, status: str, output: str) -> None:
        self._open_tools.pop(call, None)
        self.wire.send("result", id=call, status=status, output=output)

    def _allowed(self, call: str, title: str = "") -> bool:
        asked = self._open_tools[call] | ({"title": title} if title else {})
        reply = self._await("permission", **asked, call=call)
        if not reply.get("allow"):
            self._result(call, "denied", str(reply.get("message") or "denied"))
        return bool(reply.get("allow"))

    def _await(self, type_: str, **fields: Any) -> Line:
        """Send a request and wait for its reply, which may come while the line is still being written."""
        known = self._told(type_)
        if known is not None:
            return known
        self._asked = self._id("req")
        timeout = {"timeout": self.timeout} if self.timeout is not None else {}
        self.wire.send(type_, id=self._asked, **timeout, **fields)
        while self._asked not in self.wire.replies:
            self.wire.look(None)
        reply = self.wire.replies.pop(self._asked)
        self._asked = None
        return reply

    def _told(self, type_: str) -> Line | None:
        """Return the reply that a resumed turn was told at its start. What was allowed is asked again, as a real agent does."""
        answer = self.told.pop(0) if self.told else {}
        if type_ == "question" and answer.get("kind") == "question":
            return {"answers": answer.get("answers") or {}}
        if type_ == "permission" and answer.get("decision") == "deny":
            return {"allow": False, "message": answer.get("message") or "denied"}
        return None

    def _guarded(self, call: str, work: Callable[[], str]) -> None:
        if not self._allowed(call):
            return
        try:
            self._result(call, "ok", work())
        except OSError as error:
            self._result(call, "error", str(error))

    def _write(self, path: str, text: str) -> str:
        place = _place(path)
        os.makedirs(os.path.dirname(place) or ".", exist_ok=True)
        with open(place, "w", encoding="utf-8") as file:
            file.write(text + "\n")
        return f"Wrote {path}"

    def _execute(self, call: str, command: str) -> None:
        import codecs
        import subprocess

        child = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        decoder, output, size = codecs.getincrementaldecoder("utf-8")("replace"), list[str](), 0
        try:
            pipe = child.stdout.fileno() if child.stdout else -1
            while True:
                if self.wire.look(None, pipe):
                    data = os.read(pipe, 65536)
                    text = decoder.decode(data, final=not data)
                    if text:
                        size += len(text)
                        output += [text] if size <= LONGEST_OUTPUT else []
                        self.wire.send("output", id=call, text=text)
                    if not data:
                        break
            code = child.wait()
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
        told = "".join(output) + (f"\n[… of {size} characters]" if size > LONGEST_OUTPUT else "")
        self._result(call, "error" if code else "ok", (f"Exit code {code}\n" if code else "") + told)

    def _close(self) -> None:
        """End what an interruption left open, as a real agent does."""
        if self._asked:
            self.wire.send("withdraw", id=self._asked)
        for call in list(self._open_tools):
            self._result(call, "error", "interrupted")
        if self._open_message:
            whole, message, said = self._open_message
            self.wire.send(whole, id=message, text="".join(said))

    def _send_usage(self) -> None:
        made = {"input": len(self.prompt.split()), "output": self.words, "costUsd": 0.0}
        self.wire.send("usage", usage=self.usage or made)


def _pair(argument: str, first: str, second: str = "") -> tuple[str, str]:
    """Return the two words of an argument, or what is given where they are missing."""
    head, _, tail = argument.partition(" ")
    return head or first, tail.strip() or second


def _place(path: str) -> str:
    """Return where a path of the workspace is: its files are below the working directory, wherever that is."""
    inside = path.removeprefix("/workspace/")
    return inside if inside != path else path


def _read(path: str) -> str:
    with open(_place(path), encoding="utf-8", errors="replace") as file:
        return file.read()


def _on_term(*_: object) -> NoReturn:
    """Unwind, so that a running command is ended too."""
    sys.exit(143)


def main() -> None:
    signal.signal(signal.SIGTERM, _on_term)
    wire = Wire()
    while True:
        while not wire.starts:
            wire.look(None)
        start = wire.starts.pop(0)
        agent = Agent(wire, start)
        known = agent.transcript.load()
        if start.get("resume") and not known:
            wire.send(
                "end", status="failed", reason="resume_failed", code="incomplete", message="No such conversation."
            )
            continue
        wire.tell("ready", conversation=start["conversation"], model="scripted")
        agent.turn()


if __name__ == "__main__":
    main()
