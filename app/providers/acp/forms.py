"""Forms that an agent wants filled in (`elicitation/create`), as questions; and the answers, as the form's content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONFIRM = "confirm"
_CUSTOM = "_custom"
"""Ending of a field's name that stands beside a choice, for an answer of one's own."""
_YES_NO = ({"label": "Yes"}, {"label": "No"})


def questions_of(params: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return the questions of a form; a form without fields is one question, whether to go on."""
    message = str(params.get("message") or "")
    fields = _fields(params)
    if not fields:
        return ({"id": CONFIRM, "question": message, "options": list(_YES_NO[:1])},)
    return tuple(_question(name, field, message, alone=len(fields) == 1) for name, field in fields.items())


def content_of(params: Mapping[str, Any], answers: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return what the form is filled with: values of the types that it asks for, only where there is an answer."""
    content: dict[str, Any] = {}
    properties = _properties(params)
    for name, field in _fields(params).items():
        given = answers.get(name) or []
        chosen, own = _sorted_out(field, given)
        if own and name + _CUSTOM in properties:
            content[name + _CUSTOM] = ", ".join(own)
        elif own:
            chosen += own
        if chosen:
            content[name] = _value(field, chosen)
    return content


def _properties(params: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    schema = params.get("requestedSchema")
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def _fields(params: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the fields that are questions of their own."""
    properties = _properties(params)
    beside = {name + _CUSTOM for name, field in properties.items() if _options(field)}
    return {name: field for name, field in properties.items() if name not in beside}


def _question(name: str, field: Mapping[str, Any], message: str, *, alone: bool) -> dict[str, Any]:
    title, description = field.get("title"), field.get("description")
    text = (message if alone else None) or description or title or name
    options = [
        {key: option[key] for key in ("label", "description") if option.get(key)} for option in _options(field).values()
    ]
    asked: dict[str, Any] = {"id": name, "question": str(text), "options": options}
    if title and title != text:
        asked["header"] = str(title)
    if field.get("type") == "array":
        asked["multiple"] = True
    return asked


def _options(field: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the choices of a field: the value that the form takes -> label and description."""
    source = field.get("items") if field.get("type") == "array" else field
    if not isinstance(source, dict):
        return {}
    named = source.get("oneOf") or source.get("anyOf")
    if named:
        return {
            str(option["const"]): {
                "label": str(option.get("title") or option["const"]),
                "description": option.get("description"),
            }
            for option in named
        }
    if source.get("enum"):
        return {str(value): {"label": str(value)} for value in source["enum"]}
    return {"true": _YES_NO[0], "false": _YES_NO[1]} if source.get("type") == "boolean" else {}


def _sorted_out(field: Mapping[str, Any], given: list[str]) -> tuple[list[str], list[str]]:
    """Return the values of the choices among the answers, and the answers that are none."""
    by_label = {option["label"]: value for value, option in _options(field).items()}
    if not by_label:
        return list(given), []
    return [by_label[text] for text in given if text in by_label], [text for text in given if text not in by_label]


def _value(field: Mapping[str, Any], chosen: list[str]) -> Any:
    kind, text = field.get("type"), ", ".join(chosen)
    if kind == "array":
        return chosen
    if kind == "boolean":
        return chosen[0].lower() in {"true", "yes"}
    try:
        return int(text) if kind == "integer" else float(text) if kind == "number" else text
    except ValueError:
        return text
