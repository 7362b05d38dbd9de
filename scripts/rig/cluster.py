"""Three private nats-servers that form one cluster with JetStream, taken down and brought back one by one."""

import contextlib
import json
import signal
import time
import urllib.error
import urllib.request

from rig import server, stream

SIZE = 3
SETTLE_SECONDS = 90
LOOK_SECONDS = 0.05
LAME_DUCK = "lame_duck_duration: 30s, lame_duck_grace_period: 1s"


class Member(server.Server):
    """One server of a cluster, with a monitoring port."""

    def __init__(self, route: int, routes: list):
        self.monitor = server.free_port()
        urls = json.dumps([f"nats://127.0.0.1:{port}" for port in routes])
        super().__init__(f'cluster {{ name: natsink, listen: "127.0.0.1:{route}", routes: {urls} }}\n'
                         f"http: 127.0.0.1:{self.monitor}\n{LAME_DUCK}")

    @property
    def name(self) -> str:
        return self.folder.name

    def page(self, path: str) -> dict:
        """A monitoring page; empty when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}{path}", timeout=2) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def stream(self, name: str) -> dict:
        """What this server knows of the stream; empty when it does not."""
        accounts = self.page("/jsz?accounts=true&streams=true").get("account_details", [])
        details = [detail for account in accounts for detail in account.get("stream_detail", [])]
        return next((detail for detail in details if detail["name"] == name), {})

    def terminate(self) -> None:
        self.child.terminate()
        self.wait_end()

    def lame_duck(self) -> None:
        """Tells the clients, waits a second, hangs up on them, and ends; waits for that."""
        self.child.send_signal(signal.SIGUSR2)
        self.wait_end()

    def wait_end(self) -> None:
        self.child.wait(SETTLE_SECONDS)
        self.child = None


class Cluster:
    """Use as a context manager."""

    def __init__(self):
        routes = [server.free_port() for _ in range(SIZE)]
        self.members = [Member(route, routes) for route in routes]
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member)
            self.until("healthy servers", self.is_healthy)
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    @property
    def urls(self) -> str:
        return ",".join(member.url for member in self.members)

    @property
    def running(self) -> list:
        return [member for member in self.members if member.child]

    def is_healthy(self) -> bool:
        """Whether all servers run, are in touch with the others and have caught up."""
        return all(member.child and member.page("/healthz").get("status") == "ok" for member in self.members)

    def create(self, name: str, subjects: list) -> None:
        """A file stream with three replicas, once it has a leader."""
        stream.run(stream.create(self.members[0].url, name, subjects, num_replicas=SIZE))
        self.leader(name)

    def leads(self, name: str):
        """The member that says of itself that it leads the stream, or None."""
        def is_leader(member):
            return member.stream(name).get("cluster", {}).get("leader") == member.name
        return next(filter(is_leader, self.running), None)

    def leader(self, name: str) -> Member:
        return self.until(f"a leader of {name}", lambda: self.leads(name))

    def messages(self, name: str) -> int:
        """How many messages the stream holds, as far as the servers that run say."""
        return max((one.stream(name).get("state", {}).get("messages", 0) for one in self.running), default=0)

    def step_down(self, name: str) -> None:
        stream.run(stream.step_down(self.leader(name).url, name))
        self.leader(name)

    def connected(self, client: str) -> Member:
        """The member that this client, known by its connection's name, is connected to."""
        def holds(member):
            return any(one.get("name") == client for one in member.page("/connz").get("connections", []))
        return self.until(f"a connection of {client}", lambda: next((one for one in self.running if holds(one)), None))

    def restart(self, *members) -> None:
        """Starts what is down, and waits until all have caught up."""
        for member in members:
            member.restart()
        self.until("healthy servers", self.is_healthy)

    def until(self, what: str, look):
        """The first true value that `look` gives."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline:
            if seen := look():
                return seen
            time.sleep(LOOK_SECONDS)
        raise RuntimeError(f"not in {SETTLE_SECONDS} s: {what}")
