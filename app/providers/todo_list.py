"""A todo list whose agent tells it whole each time and gives its items no ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.events import EventType
from app.providers.outbox import Outbox


class TodoList:
    """Emits `todo.update` where the list has changed. An item's content stands for its id, and its place among equal ones."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ids: dict[tuple[str, int], str] = {}
        self._told: list[dict[str, Any]] | None = None

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Take the whole list: `{content, status, priority?}` each, in the words of SPEC §3."""
        seen: Counter[str] = Counter()
        todos = []
        for item in items:
            content = str(item["content"])
            seen[content] += 1
            id_ = self._ids.setdefault((content, seen[content]), str(len(self._ids) + 1))
            todos.append({"id": id_, **item})
        if todos != self._told:
            self._told = todos
            self._outbox.emit(EventType.TODO_UPDATE, todos=[dict(todo) for todo in todos])
