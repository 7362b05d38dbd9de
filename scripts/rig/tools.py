"""Finds the outside tools (nats-server, nats-py, the nats command) or installs pinned ones under target/tools."""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PINS = Path(__file__).resolve().parent
SERVER_VERSION_MIN = (2, 14)
NATS_CLI = "github.com/nats-io/natscli/nats@v0.5.1"


class Missing(Exception):
    """A tool that can be neither found nor installed; the text says what to do."""


def target_dir() -> Path:
    """Where cargo builds, and so where the tools go too."""
    return (ROOT / os.environ.get("CARGO_TARGET_DIR", "target")).resolve()


def tools_dir() -> Path:
    tools = target_dir() / "tools"
    tools.mkdir(parents=True, exist_ok=True)
    return tools


@contextlib.contextmanager
def only_one(name: str):
    """Holds a lock among all processes that install the tool `name`; the lock of a dead process is void."""
    with open(tools_dir() / f".{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def nats_server() -> Path:
    """A nats-server that is new enough: $NATS_SERVER, then PATH, then the pinned wheel."""
    chosen = os.environ.get("NATS_SERVER")
    if chosen:
        problem = server_problem(Path(chosen))
        if problem:
            raise Missing(f"NATS_SERVER={chosen}: {problem}")
        return Path(chosen).absolute()
    found = shutil.which("nats-server")
    if found:
        problem = server_problem(Path(found))
        if not problem:
            return Path(found).absolute()
        print(f"{found}: {problem}; using the pinned one", file=sys.stderr)
    return installed("nats-server", unpacked_server) / "nats-server"


def server_problem(path: Path):
    """Why the server at `path` will not do, or None."""
    try:
        shown = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"does not run ({error})"
    version = re.search(r"v?(\d+)\.(\d+)\.(\d+)", shown)
    if not version:
        return f"does not say its version, but {shown.strip()!r}"
    if (int(version[1]), int(version[2])) < SERVER_VERSION_MIN:
        return f"is {version[0]}, older than {SERVER_VERSION_MIN[0]}.{SERVER_VERSION_MIN[1]}"
    return None


def nats_py() -> Path:
    """The folder to put on sys.path for `import nats`. Nothing is installed into the user's Python."""
    return installed("nats-py", unpacked_wheel)


def prometheus_client() -> Path:
    """The folder to put on sys.path for `import prometheus_client`."""
    return installed("prometheus_client", unpacked_wheel)


def fast_json_schema() -> Path:
    """The folder to put on sys.path for `import fastjsonschema`."""
    return installed("fastjsonschema", unpacked_wheel)


def nats_cli() -> Path:
    """The nats command: PATH, then `go install` of the pinned version."""
    found = shutil.which("nats")
    return Path(found).absolute() if found else installed("nats-cli", built_nats_cli) / "nats"


def installed(name: str, install) -> Path:
    """The folder of the pinned tool `name`, which `install(name, folder)` fills the first time."""
    place = tools_dir() / f"{name}-{pinned_version(name)}"
    if place.exists():
        return place
    with only_one(name):
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=tools_dir(), prefix=f".{name}-") as scratch:
                fresh = Path(scratch) / "fresh"
                fresh.mkdir()
                install(name, fresh)
                fresh.rename(place)
    return place


def pinned_version(name: str) -> str:
    if name == "nats-cli":
        return NATS_CLI.rpartition("@")[2]
    return re.search(r"==(\S+)", (PINS / f"{name}.txt").read_text(encoding="utf-8"))[1]


def unpacked_wheel(name: str, folder: Path) -> None:
    """Downloads the one wheel that rig/NAME.txt pins, hashes checked by pip, and unpacks it into `folder`."""
    with tempfile.TemporaryDirectory(dir=tools_dir(), prefix=f".{name}-") as scratch:
        command = pip() + ["download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", scratch, "--requirement"]
        fetched = subprocess.run(command + [PINS / f"{name}.txt"], capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            raise Missing(f"pip could not fetch {name} {pinned_version(name)}:\n{fetched.stderr.strip()}")
        (wheel,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def unpacked_server(name: str, folder: Path) -> None:
    """Puts the server of the wheel at `folder`/nats-server, ready to run."""
    unpacked_wheel(name, folder)
    binaries = [path for path in folder.rglob("nats-server*") if path.is_file() and path.stat().st_size > 1 << 20]
    if len(binaries) != 1:
        raise Missing(f"the wheel of nats-server holds {len(binaries)} programs, expected one")
    binaries[0].chmod(0o755)
    if binaries[0] != folder / "nats-server":
        (folder / "nats-server").symlink_to(binaries[0].relative_to(folder))
    problem = server_problem(folder / "nats-server")
    if problem:
        raise Missing(f"the pinned nats-server {problem}; set NATS_SERVER to one that runs here")


def built_nats_cli(_name: str, folder: Path) -> None:
    go = shutil.which("go")
    if not go:
        raise Missing(f"neither nats nor go is on PATH: install Go, or {NATS_CLI} by other means")
    env = dict(os.environ, GOBIN=str(folder), GOFLAGS="")
    print(f"building {NATS_CLI}, once", file=sys.stderr)
    if subprocess.run([go, "install", NATS_CLI], env=env, stdout=sys.stderr, check=False).returncode != 0:
        raise Missing(f"go install {NATS_CLI} failed")


def pip() -> list:
    """The words that run pip: this Python's own, else that of a private venv under target/tools."""
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0:
        return [sys.executable, "-m", "pip"]
    with only_one("pip"):
        python = tools_dir() / "pip" / "bin" / "python"
        if not any((tools_dir() / "pip").glob("bin/pip*")):
            made = subprocess.run([sys.executable, "-m", "venv", "--clear", tools_dir() / "pip"], check=False,
                                  capture_output=True, text=True)
            if made.returncode != 0:
                raise Missing("this Python has neither pip nor venv: install python3-pip or python3-venv")
    return [python, "-m", "pip"]


def print_path(find) -> int:
    """The whole of a script that finds one tool and prints its path."""
    try:
        print(find())
    except Missing as missing:
        print(missing, file=sys.stderr)
        return 1
    return 0
