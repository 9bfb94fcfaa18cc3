"""The times that processes are given to end: what Procfile, supervisor and compose give is more than what the code needs."""

from __future__ import annotations

import re
from pathlib import Path

from honcho.environ import parse_procfile

from cli.supervisor import GRACE_SECONDS, LINGER_SECONDS, REDIS, children_of, graces_of
from workers.__main__ import BELL_TIMEOUT_MS, HAND_BACK_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PROCFILE = (ROOT / "Procfile").read_text(encoding="utf-8")
MARGIN = 2.0


def graceful_timeout(path: str) -> float:
    """What gunicorn waits for requests; its file patches the process that imports it, so it is read."""
    text = (ROOT / path).read_text(encoding="utf-8")
    found = re.search(r"(?m)^graceful_timeout = (\d+)", text)
    assert found is not None
    return float(found[1])


def needs() -> dict[str, float]:
    worker = HAND_BACK_SECONDS + 2 * BELL_TIMEOUT_MS / 1000
    web, proxy = graceful_timeout("web/gunicorn.conf.py"), LINGER_SECONDS  # it is left to end by itself
    others = {"worker": worker, "maintenance": worker, "scheduler": 0.0, "redis": 5.0}
    return {"web": web, "proxy": proxy, **others}


def compose_graces() -> dict[str, float]:
    services: dict[str, float] = {}
    service = ""
    for line in (ROOT / "docker-compose.yml").read_text(encoding="utf-8").partition("\nservices:\n")[2].splitlines():
        if not line.startswith(" "):
            break
        if named := re.match(r"  (\w+):$", line):
            service = named[1]
            services[service] = 0.0
        elif grace := re.match(r"    stop_grace_period: (\d+)s", line):
            services[service] = float(grace[1])
    return services


def test_the_procfile_gives_each_process_longer_than_it_needs() -> None:
    graces = graces_of(PROCFILE)
    assert set(graces) == set(parse_procfile(PROCFILE).processes) == set(needs())
    for name, seconds in needs().items():
        assert graces[name] >= seconds + MARGIN, name


def test_the_supervisor_gives_what_the_procfile_says(tmp_path: Path) -> None:
    given = {child.name: child.grace for child in children_of(ROOT / "Procfile", {"worker": 2}, ["web"])}
    graces = graces_of(PROCFILE)
    assert given["worker-1"] == given["worker-2"] == graces["worker"]
    assert given[REDIS] == graces[REDIS]
    other = tmp_path / "Procfile"
    other.write_text("a: sleep 1\n")
    assert [child.grace for child in children_of(other, {}, [])] == [GRACE_SECONDS]


def test_compose_gives_each_service_longer_than_the_processes_in_it() -> None:
    graces, given = graces_of(PROCFILE), compose_graces()
    assert set(given) >= {"paddock", "postgres", "redis"}
    assert all(given.values()), given
    others = max(seconds for name, seconds in graces.items() if name != REDIS)
    assert given["paddock"] >= others + graces[REDIS] + MARGIN  # one after the other
    assert given["redis"] >= needs()["redis"] + MARGIN
