"""Two hundred damaged files through one run of the command line."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, features
from seeded_network import seeded_generator

from chromagan.checkpoint.release_file import save_release
from chromagan.images import read_image
from chromagan.samples import sample_paths

REPOSITORY = Path(__file__).parents[1]
COUNT = 200
MEMORY_LIMIT = 1_000_000_000
# getrusage would tell the size of this test's own process: a child begins as a copy of it
COLORIZE_AND_TELL_THE_PEAK = """
import os, pathlib, re, sys
from chromagan.colorize import main
code = main(sys.argv[1:])
status = pathlib.Path("/proc/self/status")
if status.exists():
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", status.read_text())[1]
    pathlib.Path(os.environ["PEAK"]).write_text(peak)
sys.exit(code)
"""


def originals() -> dict[str, bytes]:
    """One small photograph in every kind of file."""
    photo = Image.fromarray(read_image(sample_paths("color")[0])[:96, :128])
    files: dict[str, bytes] = {}
    kinds: list[tuple[str, str, dict[str, object]]] = [
        ("jpg", "JPEG", {"quality": 85}),
        ("progressive.jpg", "JPEG", {"progressive": True}),
        ("png", "PNG", {}),
        ("webp", "WEBP", {"quality": 80}),
        ("bmp", "BMP", {}),
        ("gif", "GIF", {}),
        ("tif", "TIFF", {}),
        ("lzw.tif", "TIFF", {"compression": "tiff_lzw"}),
    ]
    if features.check("avif"):
        kinds.append(("avif", "AVIF", {}))
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a photograph" * 20
    for name, kind, options in kinds:
        stream = io.BytesIO()
        extra = {"exif": exif} if kind in {"JPEG", "PNG", "WEBP"} else {}
        photo.save(stream, kind, **options, **extra)
        files[name] = stream.getvalue()
    try:
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.from_pillow(photo).save(stream, quality=80)
        files["heic"] = stream.getvalue()
    except ImportError:
        pass
    return files


def truncated(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def bits_flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 5, 50))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def header_bits_flipped(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 4, 12))):
        data[rng.randrange(min(len(data), 120))] ^= 1 << rng.randrange(8)


def piece_repeated(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    piece = data[start : start + rng.randrange(1, 400)]
    data[start:start] = piece * rng.randrange(1, 30)


def piece_zeroed(data: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randrange(1, 2000))
    data[start:stop] = bytes(stop - start)


def huge_header(data: bytearray, rng: random.Random) -> None:
    """Declare a gigantic picture where the format keeps its size."""
    side = rng.choice((30_000, 60_000))
    if data.startswith(b"\x89PNG"):
        data[16:24] = struct.pack(">II", side, side)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            place = data.find(marker)
            if place > 0:
                data[place + 5 : place + 9] = struct.pack(">HH", side, side)
    elif data.startswith(b"GIF"):
        data[6:10] = struct.pack("<HH", side, side)
    elif data.startswith(b"BM"):
        data[18:26] = struct.pack("<ii", side, side)
    else:
        header_bits_flipped(data, rng)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    truncated,
    bits_flipped,
    header_bits_flipped,
    piece_repeated,
    piece_zeroed,
    huge_header,
)


def write_mutants(folder: Path) -> None:
    rng = random.Random(20)
    files = originals()
    suffixes = [".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".heic", ".avif"]
    for i in range(COUNT):
        name = sorted(files)[i % len(files)]
        data = bytearray(files[name])
        MUTATIONS[i % len(MUTATIONS)](data, rng)
        if rng.random() < 0.2 and data:
            MUTATIONS[rng.randrange(len(MUTATIONS))](data, rng)
        suffix = rng.choice(suffixes) if rng.random() < 0.3 else "." + name.rsplit(".")[-1]
        (folder / f"m{i:03}{suffix}").write_bytes(data)


@pytest.mark.timeout(290)
def test_damaged_files_never_break_the_run(tmp_path: Path) -> None:
    checkpoint = tmp_path / "random" / "model.safetensors"
    save_release(checkpoint, seeded_generator(width=8), name="random", graph=True)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    write_mutants(mixed)
    valid = originals()
    for name, data in valid.items():
        (mixed / f"valid.{name}").write_bytes(data)

    process = subprocess.run(
        [
            sys.executable,
            "-c",
            COLORIZE_AND_TELL_THE_PEAK,
            str(mixed),
            "-o",
            str(tmp_path / "out"),
            "--checkpoint",
            str(checkpoint),
            "--working-size",
            "32",
        ],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2", "PEAK": str(tmp_path / "peak")},
    )
    errors, summary = process.stderr, process.stdout
    assert process.returncode == 1, errors[-2000:]
    assert "Traceback" not in errors
    assert "Warning" not in errors
    # libtiff writes to the same stream past Python, so our lines are counted by their beginnings
    failed = errors.count(f"{mixed}{os.sep}")
    results = sorted((tmp_path / "out").iterdir())
    assert failed + len(results) == COUNT + len(valid)
    assert failed > COUNT / 3  # the mutations are real
    assert summary.strip() == f"{len(results)} coloured, {failed} failed"
    names = {path.name for path in results}
    for name in valid:
        assert {f"valid.{name}.png", str(Path(f"valid.{name}").with_suffix(".png"))} & names
    for path in results:
        assert read_image(path).size > 0
    if (tmp_path / "peak").exists():
        assert int((tmp_path / "peak").read_text()) * 1024 < MEMORY_LIMIT
