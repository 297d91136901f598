"""Load and fault run of the survey: `python -m study.load`.

Starts the server itself (or `--url` for a running one), lets many robots take part at once,
optionally kills the server with SIGKILL under load, and then compares every acknowledged vote
with the database.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from study.records import StudyRecords
from study.rehearsal.robot import Diary, Reply, RobotRefusedError, Shown, take_part
from study.store.registry import load_records

START_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class LoadOptions:
    """participants at once, for `seconds`, thinking `think_s` (uniform) before each vote.

    votes: end after so many acknowledged votes instead of after a time.
    """

    participants: int = 200
    seconds: float = 120.0
    think_s: tuple[float, float] = (1.0, 3.0)
    kills: int = 0
    votes: int | None = None
    seed: int = 0


@dataclass
class Server:
    """The survey in its own process group, restartable on the same port and database."""

    arguments: list[str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            RuntimeError: it ended or did not answer.
        """
        self.port = self.port or free_port()
        command = [sys.executable, "-m", "study.serve", "--port", str(self.port), *self.arguments]
        root = Path(__file__).resolve().parents[1]
        self.process = subprocess.Popen(command, cwd=root, start_new_session=True)  # noqa: S603
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with exit code {self.process.returncode}")
            if _answers(self.url):
                return
            time.sleep(0.1)
        self.kill()
        raise RuntimeError(f"the server did not answer within {START_TIMEOUT_S:.0f} s")

    @property
    def url(self) -> str:
        """Where it is served."""
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Processor time of the server's main process so far (0 where /proc is missing)."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text() if self.process else ""
        except OSError:
            return 0.0
        ticks = fields.rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """SIGKILL to the server and its workers."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stop(self) -> None:
        """A regular shutdown."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/", timeout=2):  # noqa: S310 - our own server
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


async def run_load(url: str, options: LoadOptions, server: Server | None = None) -> Diary:
    """Keep `participants` robots busy; who finishes is followed by a new one."""
    diary = Diary()
    started = time.monotonic()
    rng = random.Random(options.seed)

    def share_done() -> float:
        if options.votes is not None:
            return len(diary.acknowledged) / options.votes
        return (time.monotonic() - started) / options.seconds

    def is_over() -> bool:
        return share_done() >= 1

    def respond(_shown: Shown) -> Reply:
        pause = rng.uniform(*options.think_s)
        return Reply(rng.random() < 0.6, 1000 * pause, pause)

    async def seat() -> None:
        await asyncio.sleep(rng.uniform(0, options.think_s[1]))
        while not is_over():
            try:
                if not await take_part(url, connector, respond, diary, is_over):
                    return
            except RobotRefusedError:
                continue  # noted in the diary

    async def faults() -> None:
        for number in range(options.kills):
            while share_done() < (number + 1) / (options.kills + 1):
                await asyncio.sleep(0.05)
            if server is not None:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                print(f"killed and restarted the server ({number + 1})", file=sys.stderr)

    async with aiohttp.TCPConnector(limit=options.participants) as connector:
        await asyncio.gather(faults(), *(seat() for _ in range(options.participants)))
    return diary


def compare(diary: Diary, records: StudyRecords) -> dict[str, int]:
    """Acknowledged votes against the database: lost, changed, and stored twice."""
    stored = Counter((vote.participant, vote.trial) for vote in records.votes)
    by_id = {vote.vote_id: (vote.trial, vote.answer) for vote in records.votes}
    return {
        "acknowledged": len(diary.acknowledged),
        "stored": len(records.votes),
        "lost": sum(vote_id not in by_id for vote_id in diary.acknowledged),
        "changed": sum(
            by_id[vote_id] != what
            for vote_id, what in diary.acknowledged.items()
            if vote_id in by_id
        ),
        "twice": sum(number > 1 for number in stored.values()),
    }


def summarise(diary: Diary, options: LoadOptions, checked: dict[str, int]) -> dict[str, Any]:
    """The figures of a run, with their circumstances."""
    times = np.array(diary.vote_s or [float("nan")]) * 1000
    return {
        "participants_at_once": options.participants,
        "seconds": options.seconds,
        "think_s": list(options.think_s),
        "server_kills": options.kills,
        "sessions_finished": diary.finished,
        "votes_per_second": round(len(diary.acknowledged) / options.seconds, 1),
        "vote_ms_median": round(float(np.percentile(times, 50)), 1),
        "vote_ms_p95": round(float(np.percentile(times, 95)), 1),
        "vote_ms_max": round(float(times.max()), 1),
        "requests_retried": diary.retried,
        "unexpected_refusals": len(diary.refused),
        **checked,
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "load_average_1min": round(os.getloadavg()[0], 1),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m study.load", description=__doc__)
    parser.add_argument("--participants", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument(
        "--think", type=float, nargs=2, default=(1.0, 3.0), metavar=("MIN", "MAX"), dest="think_s"
    )
    parser.add_argument("--votes", type=int, help="end after so many votes instead of a time")
    parser.add_argument("--kills", type=int, default=0, help="SIGKILL the server this often")
    parser.add_argument("--database-url", help="default: a temporary SQLite file")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--vote-log", metavar="DIR")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--url", help="a running survey (then --database-url is its database)")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _server(arguments: argparse.Namespace, database_url: str) -> Server:
    command = ["--database-url", database_url, "--workers", str(arguments.workers)]
    command += ["--new-per-minute", "100000"]
    if arguments.vote_log:
        command += ["--vote-log", arguments.vote_log]
    if arguments.config:
        command += ["--config", str(arguments.config)]
    return Server(command)


def main(argv: list[str] | None = None) -> int:
    """Command line; prints JSON. 1: a vote was lost, changed or doubled, or a refusal."""
    arguments = _parser().parse_args(argv)
    if arguments.url and (arguments.kills or not arguments.database_url):
        print("study.load: --url needs --database-url and no --kills", file=sys.stderr)
        return 2
    options = LoadOptions(**{f.name: getattr(arguments, f.name) for f in fields(LoadOptions)})
    with tempfile.TemporaryDirectory(prefix="study-load-") as folder:
        database_url = arguments.database_url or f"sqlite:///{folder}/load.sqlite"
        server = None if arguments.url else _server(arguments, database_url)
        try:
            if server is not None:
                server.start()
            url = arguments.url or (server.url if server else "")
            before = server.cpu_seconds() if server else 0.0
            diary = asyncio.run(run_load(url, options, server))
            used = server.cpu_seconds() - before if server else 0.0
        except RuntimeError as error:
            print(f"study.load: {error}", file=sys.stderr)
            return 2
        finally:
            if server is not None:
                server.stop()
        checked = compare(diary, load_records(database_url))
    summary = summarise(diary, options, checked)
    if used > 0 and diary.acknowledged:  # everything included: pages, plates, pictures
        summary["server_cpu_ms_per_vote"] = round(1000 * used / len(diary.acknowledged), 1)
        summary["robots_cpu_ms_per_vote"] = round(
            1000 * time.process_time() / len(diary.acknowledged), 1
        )
    print(json.dumps(summary, indent=1))
    for refusal, number in Counter(diary.refused).most_common(5):
        print(f"study.load: refused {number}x: {refusal}", file=sys.stderr)
    wrong = checked["lost"] + checked["changed"] + checked["twice"] + len(diary.refused)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
