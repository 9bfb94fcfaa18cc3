"""`paddock redis-cli`: any command to the installation's Redis, with replies printed the way redis-cli prints them.

The Redis that Paddock carries has no command line client; where the machine has one, that is the better tool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import redis

from cli.errors import CommandFailed


def call(url: str, words: list[str]) -> Any:
    """Send one command and return its reply, unparsed: bytes, numbers, lists. `-n DB` before it chooses the database."""
    options: dict[str, Any] = {}
    if words[0] == "-n" and len(words) > 2 and words[1].isdigit():
        options, words = {"db": int(words[1])}, words[2:]
    client: Any = redis.Redis.from_url(url, protocol=2)
    client.connection_pool.connection_kwargs.update(options)  # in the URL a database would win
    client.response_callbacks.clear()
    try:
        return client.execute_command(*words)
    except redis.ResponseError as error:
        raise CommandFailed(f"(error) {error}") from error
    except redis.RedisError as error:
        raise CommandFailed(
            "Redis does not answer.", detail=str(error), remedy="Look at `make status`; `make up` starts it."
        ) from error
    finally:
        client.close()


def lines(reply: Any, indent: int = 0) -> Iterator[str]:
    """Yield a reply as redis-cli shows it: nested lists are numbered, strings quoted, their first line not indented."""
    if isinstance(reply, list | tuple):
        yield from _list_lines(list(reply), indent)
    elif reply is None:
        yield "(nil)"
    elif isinstance(reply, bool | int):
        yield f"(integer) {int(reply)}"
    elif isinstance(reply, bytes):
        yield quoted(reply)
    else:
        yield str(reply)


def plain(reply: Any) -> Any:
    """Return a reply as JSON has it: text for bytes, `\\xff` for what is no text, lists for lists."""
    if isinstance(reply, bytes):
        return reply.decode("utf-8", "backslashreplace")
    return [plain(item) for item in reply] if isinstance(reply, list | tuple) else reply


def _list_lines(items: list[Any], indent: int) -> Iterator[str]:
    if not items:
        yield "(empty array)"
        return
    width = len(str(len(items)))
    for number, item in enumerate(items, 1):
        label = f"{number:>{width}}) "
        for index, line in enumerate(lines(item, indent + len(label))):
            if index == 0:
                yield (" " * indent if number > 1 else "") + label + line
            else:
                yield line


def quoted(value: bytes) -> str:
    """Return a string in double quotes with redis-cli's escapes; text beyond ASCII stays readable."""
    try:
        return json.dumps(value.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        shown = "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in value)
        return f'"{shown}"'
