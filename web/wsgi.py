"""What gunicorn serves: one container and one application per worker process, made after the fork (`gunicorn.conf.py`)."""

from __future__ import annotations

from flask import Flask

from app import config, container, log
from web import create_app


def _build() -> Flask:
    settings = config.load()
    log.configure("web", level=settings.log_level, as_json=settings.log_json, secrets=settings.secrets)
    log.capture()
    parts = container.build(settings)
    parts.require_fit_redis()
    return create_app(parts)


app = _build()
