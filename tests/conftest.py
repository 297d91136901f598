"""For every test: one thread of mathematics a process, and a cache apart from the user's own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# tiny networks are slower on several threads, and `make test` runs a worker on every core;
# set before anything imports torch or numpy, and inherited by what the tests start
os.environ.setdefault("OMP_NUM_THREADS", "1")

# `nohup`, and `&` in a script, start programs that ignore Ctrl-C, and so would what tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

LONGEST_FIRST = (
    "test_demo_browser.py",
    "test_distributed_training.py",
    "test_demo_site.py",
    "test_study_browser.py",
    "test_batches.py",
    "test_study_server.py",
    "test_trainer.py",
)
"""Files that take longest; begun last, one of them would keep a single worker busy at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("CHROMAGAN_CACHE")
    os.environ["CHROMAGAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["CHROMAGAN_CACHE"]
    else:
        os.environ["CHROMAGAN_CACHE"] = before
