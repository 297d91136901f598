"""For every test: what is measured and cached on this machine stays out of the user's own cache."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("CHROMAGAN_CACHE")
    os.environ["CHROMAGAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["CHROMAGAN_CACHE"]
    else:
        os.environ["CHROMAGAN_CACHE"] = before
