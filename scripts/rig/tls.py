"""A certificate for loopback, and a server that speaks TLS to whoever wants it."""

import shutil
import subprocess
from pathlib import Path

from rig import tools


def certificate(folder: Path) -> Path:
    """Makes `cert.pem`, which vouches for itself, and `key.pem`; returns what a client is to trust."""
    if not shutil.which("openssl"):
        raise tools.Missing("openssl is needed to make a certificate")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "30", "-subj", "/CN=natsink bench", "-addext", "subjectAltName=IP:127.0.0.1"]
    words += ["-addext", "basicConstraints=critical,CA:FALSE"]
    words += ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(words, check=True, capture_output=True)
    return folder / "cert.pem"


def lenient(folder: Path) -> str:
    """The server's configuration; who does not ask for TLS is let in too."""
    return f'tls {{ cert_file: "{folder}/cert.pem", key_file: "{folder}/key.pem" }}\nallow_non_tls: true'
