"""A real PostgreSQL server for the tests, started from the programs on the PATH."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = ("initdb", "pg_ctl", "postgres")
UNPRIVILEGED = "nobody"


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def postgres_server() -> Iterator[str]:
    """Yields the URL of an empty database; the server's files vanish afterwards."""
    as_other = None
    folder = Path(tempfile.mkdtemp(prefix="study-pg-"))
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        other = pwd.getpwnam(UNPRIVILEGED)
        os.chown(folder, other.pw_uid, other.pw_gid)
        as_other = UNPRIVILEGED
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def run(*command: str) -> None:
        done = subprocess.run(
            command,
            user=as_other,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:]

    data, log = str(folder / "data"), str(folder / "log")
    options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
    try:
        run("initdb", "-D", data, "-U", "study", "-A", "trust", "-E", "UTF8", "--no-sync")
        # the server must not keep our pipe open: its output goes to the log
        run("pg_ctl", "-D", data, "-l", log, "-w", "-t", "200", "-o", options, "start")
        try:
            yield f"postgresql://study@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
