"""A private nats-server: a free loopback port and a store of its own, always killed and reaped."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rig import tools

READY_SECONDS = 30
PORT_TRIES = 10


class Server:
    """Use as a context manager; `kill9` and `restart` keep port and store."""

    def __init__(self, config: str = ""):
        self.config, self.child, self.port = config, None, 0
        self.program = tools.nats_server()
        self.folder = Path(tempfile.mkdtemp(prefix="natsink-server-"))

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that __exit__ runs
        for _ in range(PORT_TRIES):
            self.port = free_port()
            if self.spawned():
                return self
            if "address already in use" not in self.log():
                break
        log = self.log()
        self.__exit__()
        raise RuntimeError(f"nats-server did not come up:\n{log}")

    def __exit__(self, *_):
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def kill9(self) -> None:
        if self.child:
            self.child.kill()
            self.child.wait()
            self.child = None

    def restart(self) -> None:
        self.kill9()
        if not self.spawned():
            raise RuntimeError(f"nats-server did not come back:\n{self.log()}")

    def cpu_seconds(self) -> float:
        """User and system time of the process so far, where there is /proc."""
        try:
            words = Path(f"/proc/{self.child.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Freezes the process: connections stay, nothing answers."""
        self.child.send_signal(signal.SIGSTOP)

    def cont(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    def spawned(self) -> bool:
        """Starts the process and waits for its greeting; false when it ended first."""
        lines = [f"listen: 127.0.0.1:{self.port}", f"server_name: {json.dumps(self.folder.name)}"]
        lines += [f"log_file: {json.dumps(str(self.folder / 'log'))}", self.config]
        lines += [f"jetstream {{ store_dir: {json.dumps(str(self.folder / 'store'))} }}"]
        (self.folder / "server.conf").write_text("\n".join(lines), encoding="utf-8")
        silent = {name: subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")}
        self.child = subprocess.Popen([self.program, "-c", self.folder / "server.conf"], **silent)
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                return False
            if self.greets():
                return True
            time.sleep(0.005)
        return False

    def greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as link, link.makefile("rb") as lines:
                word, _, info = lines.readline().partition(b" ")
                return word == b"INFO" and json.loads(info)["server_name"] == self.folder.name
        except (OSError, ValueError):
            return False


def free_port() -> int:
    """A loopback port below the ephemeral range: no outgoing connection takes it while a server is down."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
