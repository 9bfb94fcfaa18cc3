"""Uploading git bundles."""

from __future__ import annotations

from typing import BinaryIO, cast

from flask import request

from app.domain.permissions import Permission, Principal
from app.services import bundles
from web.errors import UnsupportedMediaType
from web.parts import Parts
from web.routing import Routes
from web.schemas.providers import BundleView
from web.wire import Reply

TYPES = ("application/octet-stream", "application/x-git-bundle")

routes = Routes("bundles")


@routes.post(
    "/api/bundles",
    Permission.BUNDLE_CREATE,
    consumes=TYPES,
    max_bytes="max_bundle_bytes",
    answers=BundleView,
    status=201,
)
def upload_bundle(principal: Principal, parts: Parts) -> Reply:
    """Upload a git bundle (`git bundle create`) to seed a new session with. The body is the file itself."""
    if request.mimetype not in TYPES:
        raise UnsupportedMediaType("unsupported_media_type", f"A bundle comes as {TYPES[1]} or {TYPES[0]}.")
    parts.container.watermarks.require_room()
    bundle = bundles.create(
        parts.container.store, principal, cast(BinaryIO, request.stream), max_bytes=parts.settings.max_bundle_bytes
    )
    return Reply(BundleView(bundle_id=bundle.id, size=bundle.size, sha256=bundle.sha256), 201)
