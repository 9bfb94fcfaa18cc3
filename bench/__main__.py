"""`python -m bench [SUBJECT …]`: measure, print the tables, keep them as JSON in bench/results/."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

from bench.table import Table

SUBJECTS = (
    "event_log",
    "fanout",
    "idle_start",
    "throughput",
    "live_streams",
    "overhead",
    "model_proxy",
    "executor_memory",
    "portal",
)
RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"{', '.join(SUBJECTS)}; all, where none is named"
    )
    wanted = parser.parse_args().subjects or SUBJECTS
    if unknown := set(wanted) - set(SUBJECTS):
        parser.error(f"there is no such subject: {', '.join(sorted(unknown))}")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n", flush=True)
    tables: list[Table] = []
    for subject in SUBJECTS:
        if subject in wanted:
            print(f"measuring {subject} …", file=sys.stderr, flush=True)
            for table in importlib.import_module(f"bench.{subject}").measure():
                print(table.text() + "\n", flush=True)
                tables.append(table)
    _keep(tables)
    missed = [f"{table.title}: {row.name.strip()}" for table in tables for row in table.missed]
    print("\n".join(["missed:", *missed]) if missed else "no bar was missed")


def _keep(tables: list[Table]) -> None:
    RESULTS.mkdir(exist_ok=True)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    kept = {"at": moment, "machine": machine, "tables": [table.as_json() for table in tables]}
    path = RESULTS / f"{moment}.json"
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(f"kept in {path}")


if __name__ == "__main__":
    main()
