"""Serve until interrupted; prints the address."""

from __future__ import annotations

import argparse
import threading

from tests.support.model_server.server import ModelServer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    with ModelServer(host=arguments.host, port=arguments.port) as server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
