"""Start the page: environment first, then networks, then Gradio with every open door closed."""

from __future__ import annotations

import atexit
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from starlette.middleware import Middleware

from chromagan.checkpoint.source import CheckpointError
from chromagan.demo.folders import sweep
from chromagan.demo.guard import Guard
from chromagan.demo.limits import CHECK_SECONDS, Limits, Workers
from chromagan.demo.networks import Networks, NoNetworkError
from chromagan.inference.engines.engine import EngineError

DEFAULT_PORT = 7860
_PREFIX = "chromagan-demo-"


def prepare_environment() -> None:
    """Before Gradio is imported: a private temporary folder, no statistics, writable caches.

    On Spaces the home folder's cache may be read-only; locally the user's own stays in use.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_SSR_MODE", "false")
    if "GRADIO_TEMP_DIR" not in os.environ:
        remove_leftovers()
        folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
        os.environ["GRADIO_TEMP_DIR"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if on_spaces():
        caches = Path(tempfile.gettempdir()) / "caches"
        os.environ.setdefault("HF_HOME", str(caches / "huggingface"))
        os.environ.setdefault("MPLCONFIGDIR", str(caches / "matplotlib"))
        os.environ.setdefault("XDG_CACHE_HOME", str(caches))


def bound_malloc() -> None:
    """Let glibc keep two heaps instead of one per thread and core.

    Pictures come and go on many threads; with a heap each, freed megabytes stay where they are.
    """
    m_arena_max = -8  # <malloc.h>
    try:
        ctypes.CDLL(None).mallopt(m_arena_max, 2)
    except (AttributeError, OSError, TypeError):  # not glibc
        return


def remove_leftovers() -> None:
    """Delete the folders of servers that were killed before they could tidy up."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not _running(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # someone else's process, or a system without such signals
        return True
    return True


def on_spaces() -> bool:
    return bool(os.environ.get("SPACE_ID"))


def address() -> tuple[str, int]:
    """(host, port) from the environment: PORT, default 7860; all interfaces on Spaces only."""
    text = os.environ.get("PORT") or os.environ.get("GRADIO_SERVER_PORT") or str(DEFAULT_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise SystemExit(f"PORT must be a number between 1 and 65535, not {text!r}")
    everywhere = "0.0.0.0"  # noqa: S104  # a Space's proxy comes from outside the container
    host = os.environ.get("GRADIO_SERVER_NAME") or (everywhere if on_spaces() else "127.0.0.1")
    return host, int(text)


def build(
    networks: Networks | None = None, limits: Limits | None = None, workers: Workers | None = None
) -> tuple[Any, dict[str, Any]]:
    """The page and the settings for its `launch`. networks: default: all that are present."""
    prepare_environment()
    from chromagan.demo.page.layout import build_page  # imports Gradio

    limits = limits or Limits()
    networks = networks or Networks.available()
    networks.load(networks.default)
    blocks, looks = build_page(networks, limits, workers or Workers.for_machine())
    blocks.queue(max_size=limits.queue, default_concurrency_limit=2)
    settings: dict[str, Any] = {
        "max_file_size": limits.file_megabytes * 1_000_000,
        "state_session_capacity": limits.sessions,
        "enable_monitoring": False,
        "run_history": False,
        "show_error": False,
        "pwa": False,
        "share": False,
        "footer_links": ["api", "settings"],
        "app_kwargs": {"middleware": [Middleware(Guard)], "docs_url": None, "redoc_url": None},
        **looks,
    }
    return blocks, settings


def start_sweeper(limits: Limits) -> None:
    """Delete visitors' files by age in the background."""

    def work() -> None:
        while True:
            time.sleep(CHECK_SECONDS)
            sweep(limits.delete_at_seconds)

    threading.Thread(target=work, name="sweeper", daemon=True).start()


def serve() -> None:
    """Run until interrupted. Ends with one sentence where the page cannot be started."""
    limits = Limits()
    host, port = address()
    bound_malloc()
    try:
        blocks, settings = build(limits=limits)
    except (CheckpointError, EngineError, NoNetworkError) as error:
        raise SystemExit(f"demo: {error}") from None
    start_sweeper(limits)
    # a container is stopped by SIGTERM: leave through the exit handlers, which delete the files
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        blocks.launch(
            server_name=host, server_port=port, quiet=True, prevent_thread_lock=True, **settings
        )
    except OSError as error:
        raise SystemExit(f"demo: port {port} cannot be used: PORT=8000 make demo") from error
    print(f"ChromaGAN on http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}", flush=True)  # noqa: S104
    blocks.block_thread()
