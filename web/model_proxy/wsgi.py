"""What gunicorn serves as the model proxy: one container and one application per process, made after the fork."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from app import config, container, log
from app.services import metering
from app.services.process_health import Reporter
from web.leaving import LOOK_SECONDS, AtWork
from web.model_proxy.application import ModelProxy

BOOT_ERROR = 3
"""A worker of gunicorn that ends with this is not started again: its master ends too."""


def _build() -> ModelProxy:
    settings = config.load()
    log.configure("proxy", level=settings.log_level, as_json=settings.log_json, secrets=settings.secrets)
    log.capture()
    parts = container.build(settings)
    try:
        parts.prices.find("")  # read now, so that a broken file shows at the start
    except (OSError, ValueError, KeyError) as error:
        sys.stderr.write(f"PADDOCK_MODEL_PRICES cannot be read: {error}\n")
        raise SystemExit(BOOT_ERROR) from None
    return ModelProxy(parts)


proxy = _build()
app = AtWork(proxy)


def watch(worker: Any) -> None:
    """Report this process, and see to it that it goes as soon as the calls that are on their way have ended."""
    parts = proxy.container
    reporter = Reporter("proxy", parts.owner, parts.progress, parts.board)
    reporter.streams = lambda: app.count
    reporter.start()
    metering.end_lost()

    def leave() -> None:
        while worker.alive:
            time.sleep(2 * LOOK_SECONDS)
        proxy.leave()
        while app.count:
            time.sleep(LOOK_SECONDS)
        parts.counters.flush()
        reporter.leave()
        worker.cfg.set("graceful_timeout", 0)  # read again in each round of gunicorn's waiting

    threading.Thread(target=leave, name="leaving", daemon=True).start()
