"""The OpenAPI document, made from the declarations of the routes and the pydantic models: nothing in it is written twice.

The result is checked against the models of flask-openapi3, so that a document that tools cannot read fails in tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import orjson
from flask import current_app
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from app.domain.problems import PROBLEMS
from web.keys import HEADER as IDEMPOTENCY_KEY
from web.routing import PUBLIC, RUN_TOKEN, Endpoint, endpoints
from web.schemas.common import Problem

VERSION = "3.1.0"
REF = "#/components/schemas/{model}"


def operations() -> list[Endpoint]:
    """Return the routes in the order of the document."""
    return sorted(endpoints(current_app).values(), key=lambda endpoint: (endpoint.tag, endpoint.rule, endpoint.method))


def document(address: str) -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(_document(tuple(operations()), address))


@cache
def _document(listed: tuple[Endpoint, ...], address: str) -> dict[str, Any]:
    schemas, references = _schemas(listed)
    paths: dict[str, Any] = {}
    for endpoint in listed:
        if endpoint.method != "WEBSOCKET":
            path = re.sub(r"<(\w+)>", r"{\1}", endpoint.rule)
            paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint, references)
    return {
        "openapi": VERSION,
        "info": {"title": "Paddock", "version": "0.1.0", "description": "Runs coding agents as jobs."},
        "servers": [{"url": address}],
        "tags": [{"name": tag} for tag in sorted({endpoint.tag for endpoint in listed})],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "paddock_session"},
            },
        },
    }


def _schemas(listed: Iterable[Endpoint]) -> tuple[dict[str, Any], dict[Any, Any]]:
    wanted: list[tuple[type[BaseModel], Any]] = [(Problem, "serialization")]
    for endpoint in listed:
        wanted += [(endpoint.body, "validation")] if endpoint.body else []
        wanted += [(endpoint.answer, "serialization")] if endpoint.answer else []
    references, definitions = models_json_schema(list(dict.fromkeys(wanted)), ref_template=REF)
    return definitions.get("$defs", {}), references


def _operation(endpoint: Endpoint, references: dict[Any, Any]) -> dict[str, Any]:
    summary, _, description = (endpoint.view.__doc__ or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": endpoint.view.__name__,
        "tags": [endpoint.tag],
        "summary": summary.strip(),
        "parameters": _parameters(endpoint),
        "responses": _responses(endpoint, references),
    }
    if description.strip():
        operation["description"] = " ".join(description.split())
    if endpoint.access != PUBLIC:
        operation["security"] = [{"token": []}] if endpoint.access == RUN_TOKEN else [{"token": []}, {"session": []}]
        operation["x-permission"] = str(endpoint.access)
    if endpoint.body is not None:
        schema = references[(endpoint.body, "validation")]
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    elif endpoint.options.consumes:
        binary = {"schema": {"type": "string", "format": "binary"}}
        operation["requestBody"] = {"content": dict.fromkeys(endpoint.options.consumes, binary), "required": True}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(\w+)>", endpoint.rule)
    ]
    if endpoint.query is not None:
        schema = endpoint.query.model_json_schema()
        for name, facts in schema.get("properties", {}).items():
            required = name in schema.get("required", [])
            found.append({"name": name, "in": "query", "required": required, "schema": facts})
    if endpoint.keyed:
        found.append({"name": IDEMPOTENCY_KEY, "in": "header", "required": True, "schema": {"type": "string"}})
    return found


def _responses(endpoint: Endpoint, references: dict[Any, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    if endpoint.answer is not None:
        content["application/json"] = {"schema": references[(endpoint.answer, "serialization")]}
    if endpoint.options.produces:
        content[endpoint.options.produces] = {"schema": {"type": "string"}}
    problem = {"application/problem+json": {"schema": references[(Problem, "serialization")]}}
    good: dict[str, Any] = {"description": "Done."}
    if content:
        good["content"] = content
    statuses = sorted({each.status for each in PROBLEMS.values() if each.status < 500})
    refused = {"description": f"A problem; its status is one of {', '.join(map(str, statuses))}.", "content": problem}
    return {str(endpoint.options.status): good, "default": refused}
