"""What gunicorn serves in tests that kill web at planted points: the product's application, its process patched before."""

from __future__ import annotations

from tests.support.planted import plant

plant()

from web.wsgi import app  # noqa: E402 - built after the patches

__all__ = ["app"]
