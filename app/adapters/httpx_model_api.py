"""The model's side of the model proxy, over httpx: requests with the platform's keys, answers byte by byte as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import httpx

from app.domain.model_api import Vendor

CONNECT_SECONDS = 15.0
SILENCE_SECONDS = 900.0
"""Between two bytes of an answer: models may think for long, and agents have their own patience."""

ANTHROPIC_ADDRESS = "https://api.anthropic.com"
OPENAI_ADDRESS = "https://api.openai.com/v1"


class ModelApiError(Exception):
    """The model's side did not answer, or stopped in the middle of an answer. `timed_out` where it was silent for too long."""

    def __init__(self, message: str, *, timed_out: bool) -> None:
        super().__init__(message)
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model's side said. `chunks` are the raw bytes; `close` ends the connection when the answer is not read to its end."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    chunks: Iterator[bytes]
    response: httpx.Response

    def header(self, name: str) -> str:
        return str(self.response.headers.get(name, ""))

    def close(self) -> None:
        self.response.close()


class ModelApi:
    """Knows the addresses and keys by vendor, from the platform's settings."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._addresses = {
            "anthropic": (settings.get("ANTHROPIC_BASE_URL") or ANTHROPIC_ADDRESS).rstrip("/"),
            "openai": (settings.get("OPENAI_BASE_URL") or OPENAI_ADDRESS).rstrip("/"),
        }
        self._keys: dict[str, dict[str, str]] = {"anthropic": {}, "openai": {}}
        if settings.get("ANTHROPIC_API_KEY"):
            self._keys["anthropic"]["x-api-key"] = settings["ANTHROPIC_API_KEY"]
        if settings.get("ANTHROPIC_AUTH_TOKEN"):
            self._keys["anthropic"]["authorization"] = f"Bearer {settings['ANTHROPIC_AUTH_TOKEN']}"
        if settings.get("OPENAI_API_KEY"):
            self._keys["openai"]["authorization"] = f"Bearer {settings['OPENAI_API_KEY']}"
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=30)
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        self._client = httpx.Client(limits=limits, timeout=timeout, follow_redirects=False, trust_env=False)
        self._client.headers.clear()  # only what the agent sent

    def has_key(self, vendor: Vendor) -> bool:
        return bool(self._keys[vendor])

    def send(self, vendor: Vendor, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        """Send a request (`path` with its query, as agents write it: `/v1/…`) and return when the answer begins. Raises ModelApiError."""
        if vendor == "openai":
            path = path.removeprefix("/v1")
        sent = [*headers, *self._keys[vendor].items()]
        try:
            request = self._client.build_request(
                method, self._addresses[vendor] + path, headers=sent, content=body if method == "POST" else None
            )
            response = self._client.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(error) from error
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
        return Answer(response.status_code, response.reason_phrase, found, _chunks(response), response)


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_raw()
    except (httpx.HTTPError, httpx.StreamError) as error:
        raise _failed(error) from error


def _failed(error: Exception) -> ModelApiError:
    return ModelApiError(f"{type(error).__name__}: {error}", timed_out=isinstance(error, httpx.TimeoutException))
