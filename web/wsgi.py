"""What gunicorn serves: one container and one application per worker process, made after the fork (`gunicorn.conf.py`)."""

from __future__ import annotations

import sys

from flask import Flask

from app import config, container, log
from web import create_app

BOOT_ERROR = 3
"""A worker of gunicorn that ends with this is not started again: its master ends too."""


def _build() -> Flask:
    settings = config.load()
    log.configure("web", level=settings.log_level, as_json=settings.log_json, secrets=settings.secrets)
    log.capture()
    parts = container.build(settings)
    try:
        parts.require_fit_redis()
    except SystemExit as unfit:
        sys.stderr.write(f"{unfit.code}\n")
        raise SystemExit(BOOT_ERROR) from None
    return create_app(parts)


app = _build()
