"""Files that leave the server: PNG at full resolution, marked as AI-colorized, nothing inherited.

Every file gets a folder with a random name, so that no visitor's file can be guessed and no two
visitors ever share a path.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from chromagan.demo.photos import Pixels
from chromagan.images.png import write_png

T = TypeVar("T")

_SECRET = secrets.token_bytes(16)
_visitor: ContextVar[str | None] = ContextVar("visitor", default=None)

MARK = "AI-colorized"
DESCRIPTION = "AI-colorized by ChromaGAN: the colours are plausible, not true."
# IPTC's vocabulary for "a real photograph, partly synthesised by a trained model"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}">
   <dc:description><rdf:Alt><rdf:li xml:lang="x-default">{DESCRIPTION}</rdf:li></rdf:Alt>
   </dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def cache_root() -> Path:
    """The server's own temporary folder; `server.prepare` makes it private and removes it."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")


def visitors_root() -> Path:
    """Where visitors' files lie; `sweep` empties it."""
    return cache_root() / "visitors"


@contextlib.contextmanager
def visitor(session: str | None) -> Iterator[None]:
    """Whose files `new_path` makes inside this block: those that `forget_visitor` deletes."""
    before = _visitor.get()
    _visitor.set(session)
    try:
        yield
    finally:
        _visitor.set(before)  # not `reset`: a generator may be closed in another context


def as_visitor(session: str | None, steps: Iterator[T]) -> Iterator[T]:
    """A generator each of whose steps runs as that visitor (Gradio changes threads between)."""
    while True:
        with visitor(session):
            try:
                step = next(steps)
            except StopIteration:
                return
        yield step


def visitor_folder(session: str | None) -> Path:
    """A visitor's folder; its name tells nothing about the session."""
    name = hmac.new(_SECRET, (session or "").encode(), "sha256").hexdigest()
    return visitors_root() / name[:40]


def forget_visitor(session: str | None) -> None:
    """Delete everything that was made for this visitor."""
    if session:
        shutil.rmtree(visitor_folder(session), ignore_errors=True)


def new_path(name: str) -> Path:
    """A path nobody else has: `<visitors>/<visitor>/<random>/<name>`, the folder made."""
    folder = visitor_folder(_visitor.get()) / secrets.token_hex(20)
    folder.mkdir(parents=True)
    return folder / name


def keep(image: Pixels, name: str) -> str:
    """A picture of the page itself (examples), kept for as long as the server runs."""
    folder = cache_root() / "page"
    folder.mkdir(parents=True, exist_ok=True)
    return str(save_png(image, folder / f"{name}.png"))


def adopt(upload: str) -> str:
    """A visitor's own name for an uploaded file (a hard link where the disk has them).

    Gradio files uploads by content: two visitors with the same picture share one path, and one
    of them deleting it must not take it from the other. Files from elsewhere stay where they are.
    """
    source = Path(upload).resolve()
    if cache_root().resolve() not in source.parents:
        return upload
    own = new_path(source.name)
    try:
        os.link(source, own)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, own)
    return str(own)


def sweep(max_age_seconds: float) -> int:
    """Delete visitors' files older than that; returns how many."""
    horizon = time.time() - max_age_seconds
    removed = 0
    for folder in visitors_root().glob("*/*"):
        # the folder's age counts: a link's own times are those of the upload
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < horizon:
                removed += sum(1 for file in folder.iterdir() if file.is_file())
                shutil.rmtree(folder)
                folder.parent.rmdir()  # refuses, silently, while it holds anything else
    return removed


def metadata(network: str) -> dict[str, str]:
    """The discreet mark: PNG texts, and XMP that image banks and newsrooms read."""
    return {
        "Software": f"ChromaGAN ({network})",
        "Comment": MARK,
        "Description": DESCRIPTION,
        "XML:com.adobe.xmp": _XMP,
    }


def save_png(image: Pixels, path: Path, *, network: str = "") -> Path:
    """Write a lossless PNG atomically; `network` adds the mark (previews go without)."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        write_png(file, np.ascontiguousarray(image), text=metadata(network) if network else None)
    os.replace(part, path)
    return path


def save_preview(image: Pixels, name: str) -> str:
    """A picture for the page, lossless like everything else."""
    return str(save_png(image, new_path(f"{name}.png")))


def save_result(image: Pixels, name: str, *, network: str) -> str:
    """A picture for the visitor to keep: `<name>-colorized.png`."""
    return str(save_png(image, new_path(f"{name}-colorized.png"), network=network))


def stamped(image: Pixels) -> Pixels:
    """A copy with a small readable "AI-colorized" in the lower right corner, if it has room."""
    height, width = image.shape[:2]
    size = max(11, round(min(height, width) * 0.028))
    font = ImageFont.load_default(size)
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    left, top, right, bottom = draw.textbbox((0, 0), MARK, font=font)
    pad = size // 2
    x, y = width - (right - left) - 2 * pad, height - (bottom - top) - 2 * pad
    if x < 0 or y < 0:
        return image
    box = (x - pad, y - pad, width - pad // 2, height - pad // 2)
    draw.rounded_rectangle(box, radius=pad, fill=(0, 0, 0, 110))
    draw.text((x - left, y - top - pad // 4), MARK, font=font, fill=(255, 255, 255, 235))
    return np.asarray(canvas)


def discard(path: str | Path | None) -> None:
    """Remove a file of ours and its folder; files elsewhere are not touched."""
    if not path:
        return
    target = Path(path).resolve()
    root = cache_root().resolve()
    if root not in target.parents:
        return
    target.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty, or gone already
        target.parent.rmdir()
