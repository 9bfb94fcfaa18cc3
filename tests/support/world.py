"""A whole back end in one process, with real Redis, SQL, executors and agents: runs are created and driven by hand, so that a
test can drop the driver, cut Redis or look at the state wherever it wants."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import db
from app.adapters.redis_command_feed import RedisCommandFeed
from app.config import Settings
from app.container import Container, build
from app.domain.events import Event
from app.domain.lease import Lease
from app.models import AgentRun, HumanLoopRequest, RunEvent, User
from app.ports import EVERY_GENERATION
from app.services import human_loop, identity, run_claims
from app.services.run_creation import NewRun, NewSession, create
from app.services.run_driver import RunDriver
from tests.support.waiting import eventually


class World:
    """Use `open_world` to make one; it ends every sandbox at the end."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.settings: Settings = container.settings
        identity.bootstrap("pdk_world")
        self.user = User.get()
        self._drivers: dict[str, RunDriver] = {}
        self.feed = RedisCommandFeed(self.settings.redis, self._wake)
        self.feed.start()

    def create(self, prompt: str, session: str | None = None, **more: Any) -> AgentRun:
        provider = more.pop("provider", "scripted")
        new = NewRun(self.user.tenant_id, self.user.id, session or NewSession(), provider, prompt, **more)
        return create(new, self.container.bell)

    def claim(self, seconds: float | None = None) -> run_claims.Claim | None:
        return run_claims.take_next("world", seconds or self.settings.lease_duration)

    def driver(self, claim: run_claims.Claim, seconds: float | None = None) -> RunDriver:
        lease = Lease(claim.run.id, claim.run.epoch, "world", seconds or self.settings.lease_duration)
        self._drivers[claim.run.id] = driver = RunDriver(claim, lease, self.container.driver_parts)
        return driver

    def _wake(self, run_id: str) -> None:
        if run_id in self._drivers:
            self._drivers[run_id].wake()

    def drive(self) -> AgentRun:
        """Claim the best run and drive it until its driver lets go."""
        claim = self.claim()
        assert claim is not None
        self.driver(claim).drive()
        return self.run(claim.run.id)

    def drop(self, prompt: str) -> AgentRun:
        """Drive a new run, with everything allowed, until text has come; then its worker dies, and its agent goes on."""
        run = self.create(prompt, options={"approval": "all"})
        claim = self.claim()
        assert claim is not None
        driver = self.driver(claim)
        worker = threading.Thread(target=with_own_connection, args=(driver.drive,))
        worker.start()
        eventually(lambda: "message.delta" in self.types(run.id))
        driver._lease.lose()  # it touches nothing any more
        driver.wake()
        worker.join()
        self.expire_lease(run.id)
        return self.run(run.id)

    def expire_lease(self, run_id: str) -> None:
        """As if the lease's time had passed."""
        AgentRun.update(lease_until=db.now() - 1).where(AgentRun.id == run_id).execute()

    def run(self, run_id: str) -> AgentRun:
        return AgentRun.get_by_id(run_id)

    def events(self, run_id: str) -> list[Event]:
        rows = RunEvent.select().where(RunEvent.run_id == run_id).order_by(RunEvent.seq)
        return [Event(row.run_id, row.seq, row.type, row.data, row.ts, row.src) for row in rows]

    def types(self, run_id: str) -> list[str]:
        return [event.type for event in self.events(run_id)]

    def answer(self, decide: Callable[[HumanLoopRequest], human_loop.Reply]) -> None:
        """Answer every open request."""
        for request in list(HumanLoopRequest.select().where(HumanLoopRequest.status == "open")):
            human_loop.reply(request, decide(request), self.user.id, self.container.bell)

    @contextmanager
    def answering(self, decide: Callable[[HumanLoopRequest], human_loop.Reply] | None = None) -> Iterator[None]:
        """A person who answers whatever is asked (allow, or the first option) as long as the block lasts."""
        done = threading.Event()

        def watch() -> None:
            with db.connection():
                while not done.wait(0.02):
                    self.answer(decide or yes)

        person = threading.Thread(target=watch)
        person.start()
        try:
            yield
        finally:
            done.set()
            person.join()

    def wait_for(self, condition: Callable[[], Any], what: str = "") -> Any:
        return eventually(condition, 30)


def with_own_connection(work: Callable[[], object]) -> None:
    with db.connection():
        work()


@contextmanager
def driven(world: World) -> Iterator[None]:
    """Drive whatever is claimable in another thread as long as the block lasts."""
    done = threading.Event()

    def drive() -> None:
        with db.connection():
            while not done.wait(0.01):
                claim = world.claim()
                if claim is not None:
                    world.driver(claim).drive()

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def yes(request: HumanLoopRequest) -> human_loop.Reply:
    """Allow an approval; choose the first option of each question."""
    if request.kind == "approval":
        return human_loop.Reply(decision="allow")
    answers = {q["id"]: [q["options"][0]["label"] if q.get("options") else "yes"] for q in request.questions}
    return human_loop.Reply(answers=answers)


@contextmanager
def open_world(var: Path, database_url: str, redis_url: str, **settings: Any) -> Iterator[World]:
    """Build the back end in `var` and take everything down again at the end. Agents reach their models directly: there is no process
    beside this one."""
    own = {"var": var, "database_url": database_url, "redis_url": redis_url, "_env_file": None}
    values = {**own, "model_proxy": False, **settings}
    container = build(Settings(**values))
    world = World(container)
    try:
        yield world
    finally:
        world.feed.stop()
        container.driver_parts.stopping.set()
        for name in container.sandboxes.list_running():
            container.sandboxes.stop(name, EVERY_GENERATION)
