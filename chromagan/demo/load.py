"""Many visitors at once: `python -m chromagan.demo.load --visitors 20 --seconds 120`.

Every visitor sends photographs that nobody else has and checks that what comes back has the same
luminance, so that a picture in the wrong hands is noticed. Prints counts, waiting times, and the
server's memory where its process id is given.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from chromagan.demo.results import Pixels
from chromagan.inference.recolour import luminance

TOLERANCE = 1.0  # mean difference in L; two different photographs of `unique_photo` differ by > 8
PATIENCE = 120.0  # seconds for one HTTP answer; waiting in the queue is not limited
BUSY = ("queue is full", "too busy", "Queue is full")


@dataclass
class Tally:
    """What happened, shared by all visitors."""

    waits: list[float] = field(default_factory=list)
    wrong: int = 0
    turned_away: int = 0
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def line(self) -> str:
        waits = sorted(self.waits) or [float("nan")]
        late = waits[int(0.95 * (len(waits) - 1))]
        return (
            f"{len(self.waits)} photos, {self.wrong} in the wrong hands, "
            f"{len(self.errors)} errors, {self.turned_away} told to come back later; waiting time: "
            f"median {statistics.median(waits):.1f} s, 95 % within {late:.1f} s"
        )


def unique_photo(seed: int, side: int = 480) -> Pixels:
    """A grey picture, uint8 (side, side, 3), unlike that of any other seed: random soft blobs."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    return np.repeat(np.asarray(soft)[..., None], 3, axis=2)


def same_picture(result: Pixels, photo: Pixels) -> bool:
    """Whether a result is this photograph in colour: same size, same luminance."""
    if result.shape != photo.shape:
        return False
    return float(np.abs(luminance(result) - luminance(photo)).mean()) < TOLERANCE


def visit(number: int, url: str, until: float, folder: Path, tally: Tally) -> None:
    """One visitor: a photo, and more until the time is over."""
    from gradio_client import Client, handle_file

    client: Any = None
    for turn in range(1_000_000):
        if turn and time.monotonic() >= until:
            return
        photo = unique_photo(1000 * number + turn)
        file = folder / f"visitor-{number}.png"
        Image.fromarray(photo).save(file)
        started = time.monotonic()
        try:
            client = client or Client(
                url,
                verbose=False,
                download_files=str(folder / str(number)),
                httpx_kwargs={"timeout": PATIENCE},
            )
            path = client.predict(handle_file(str(file)), api_name="/colorize")
            with Image.open(path) as image:
                fits = same_picture(np.asarray(image.convert("RGB")), photo)
        except Exception as error:
            _note(tally, error)
            time.sleep(0.5)
            continue
        with tally.lock:
            tally.waits.append(time.monotonic() - started)
            tally.wrong += not fits


def _note(tally: Tally, error: Exception) -> None:
    text = str(error) or type(error).__name__
    with tally.lock:
        if any(word in text for word in BUSY):
            tally.turned_away += 1
        else:
            tally.errors.append(text)


def run(url: str, visitors: int, seconds: float) -> Tally:
    """All visitors at once for that long; the last photos are waited for."""
    tally = Tally()
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        threads = [
            threading.Thread(target=visit, args=(number, url, until, Path(folder), tally))
            for number in range(visitors)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return tally


def memory_mb(pid: int) -> float | None:
    """Resident memory of a process, Linux only."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return None
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if "VmRSS" in line)


def main(argv: list[str] | None = None) -> int:
    """Command line. 0: all served rightly. 1: a wrong picture or an unexplained error."""
    parser = argparse.ArgumentParser(prog="python -m chromagan.demo.load", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:7860", help="the running page")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--pid", type=int, help="the server's process, to watch its memory")
    arguments = parser.parse_args(argv)
    if arguments.visitors < 1 or arguments.seconds <= 0:
        parser.error("--visitors and --seconds must be positive")
    before = memory_mb(arguments.pid) if arguments.pid else None
    tally = run(arguments.url, arguments.visitors, arguments.seconds)
    print(tally.line())
    if arguments.pid:
        after = memory_mb(arguments.pid)
        print(f"server memory: {before or 0:.0f} MB before, {after or 0:.0f} MB after")
    for text in sorted(set(tally.errors))[:5]:
        print(f"error: {text}", file=sys.stderr)
    return 1 if tally.wrong or tally.errors or not tally.waits else 0


if __name__ == "__main__":
    raise SystemExit(main())
