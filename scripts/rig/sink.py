"""Builds and runs the command `natsink`, and watches its memory and its time."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from rig import tools

POLL_SECONDS = 0.02
DRAIN_SECONDS = 600


def build(profile: str = "release") -> Path:
    """Builds the command and returns its path."""
    command = ["cargo", "build", "--quiet", "--features", "cli", "--bin", "natsink"]
    command += ["--release"] if profile == "release" else []
    subprocess.run(command, cwd=tools.ROOT, check=True)
    return tools.target_dir() / profile / "natsink"


class Sink:
    """One run of `natsink run`. Ends with `finish` or `kill9`; used as a context manager it never outlives its block."""

    def __init__(self, program: Path, receipt: Path, *words, stdin=None):
        self.receipt_path, self.rss_max_kib, self.usage, self.seconds = receipt, 0, None, 0.0
        receipt.unlink(missing_ok=True)
        self.started = time.monotonic()
        self.log = open(receipt.with_suffix(".log"), "w+", encoding="utf-8", errors="replace")
        command = [program, "run", *words, "--receipt", receipt, "--quiet"]
        self.child = subprocess.Popen(command, stdin=stdin or subprocess.DEVNULL, stderr=self.log,
                                      stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.returncode is None:
            self.kill9()
        self.log.close()

    def runs(self) -> bool:
        """Looks at the process; notes its memory while it runs, its CPU time when it has ended."""
        if self.child.returncode is not None:
            return False
        self.rss_max_kib = max(self.rss_max_kib, rss_peak_kib(self.child.pid))
        pid, status, usage = os.wait4(self.child.pid, os.WNOHANG)
        if pid:
            self.ended(status, usage)
        return not pid

    def kill9(self) -> None:
        if self.runs():
            self.child.kill()
            self.ended(*os.wait4(self.child.pid, 0)[1:])

    def ended(self, status, usage) -> None:
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.usage, self.seconds = usage, time.monotonic() - self.started

    def finish(self, patience: float = DRAIN_SECONDS) -> dict:
        """Waits for the end of the run; its receipt. Anything but exit 0 is an error with the sink's own words."""
        deadline = time.monotonic() + patience
        while self.runs():
            if time.monotonic() > deadline:
                raise RuntimeError(f"natsink did not end in {patience} s:\n{self.words()}")
            time.sleep(POLL_SECONDS)
        if self.child.returncode != 0:
            raise RuntimeError(f"natsink ended with {self.child.returncode}:\n{self.words()}")
        return json.loads(self.receipt_path.read_text(encoding="utf-8"))

    def words(self) -> str:
        """What the sink said on stderr."""
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace").strip()

    def cpu_seconds(self) -> float:
        return self.usage.ru_utime + self.usage.ru_stime


def rss_peak_kib(pid: int) -> int:
    """The peak of the resident memory so far: VmHWM where there is /proc, else 0.

    Not ru_maxrss, which for a child of a large process begins with the size of the parent.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def fail(problem) -> int:
    print(f"FAILED: {problem}", file=sys.stderr)
    return 1
