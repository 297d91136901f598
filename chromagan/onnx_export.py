"""A checkpoint as an ONNX file that any runtime can load.

    python -m chromagan.onnx_export CHECKPOINT OUT.onnx

CHECKPOINT is a built-in name, a release file or a Hub id. The file takes `l`, luminance / 100 as
float32 (batch, 1, H, W), and gives `ab`, (ab + 128) / 255 as (batch, 2, H/2, W/2). After writing,
the file is run with ONNX Runtime on several batch sizes and compared with PyTorch; the exit code is
1 when they disagree (the file is then removed) and 2 when the checkpoint or a package is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from chromagan.checkpoint.release_file import CheckpointError, load_release
from chromagan.checkpoint.source import find_checkpoint
from chromagan.files import write_atomically
from chromagan.inference.engines.onnx_graph import OPSET, OnnxExportError, to_onnx
from chromagan.inference.engines.registry import EngineError, build_engine, installed, usable_cpus
from chromagan.model import Generator

TOLERANCE = 1e-4
"""Largest difference of the ab code to PyTorch: 0.03 CIE units, far below one 8-bit step."""


@dataclass(frozen=True)
class Difference:
    """Largest and mean absolute difference of the ab code on one input shape."""

    shape: tuple[int, ...]
    largest: float
    mean: float

    def ok(self, tolerance: float = TOLERANCE) -> bool:
        return self.largest <= tolerance


def probes(generator: Generator) -> Iterator[NDArray[np.float32]]:
    """Inputs that a graph with frozen sizes would fail: several batches and, for `lite`, sides."""
    size = generator.config.image_size
    shapes = [(1, size, size), (3, size, size)]
    if generator.config.architecture == "lite":
        shapes += [(2, 96, 160)]
    rng = np.random.default_rng(0)
    for batch, height, width in shapes:
        yield rng.random((batch, 1, height, width), dtype=np.float32)


def compare(generator: Generator, model: bytes) -> list[Difference]:
    """Run `model` with ONNX Runtime and `generator` with PyTorch on the same inputs."""
    from chromagan.inference.engines.onnx_engines import OnnxRuntimeEngine

    exported = OnnxRuntimeEngine(model, "fp32", threads=usable_cpus())
    reference = build_engine(generator)
    found = []
    for codes in probes(generator):
        error = np.abs(exported.run(codes) - reference.run(codes))
        found.append(Difference(codes.shape, float(error.max()), float(error.mean())))
    return found


def export(generator: Generator, target: Path) -> list[Difference]:
    """Write `target` and compare it with PyTorch; a file that disagrees is not kept."""
    if not installed("onnxruntime"):
        raise EngineError("the parity check needs ONNX Runtime: pip install onnx onnxruntime")
    content = to_onnx(generator.eval()).SerializeToString()
    differences: list[Difference] = []

    def write(file: Path) -> None:
        file.write_bytes(content)
        differences.extend(compare(generator, file.read_bytes()))
        if not all(difference.ok() for difference in differences):
            raise _Disagreement

    with contextlib.suppress(_Disagreement):
        write_atomically(target, write)
    return differences


class _Disagreement(Exception):  # noqa: N818 - never leaves this module
    pass


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.onnx_export", description="Write a checkpoint as an ONNX file."
    )
    parser.add_argument("checkpoint", help="built-in name, release file or Hub id")
    parser.add_argument("target", type=Path, help="file to write (.onnx)")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's text for the exit codes."""
    args = build_parser().parse_args(argv)
    if args.target.suffix != ".onnx":
        print(f"error: {args.target}: the target must end in .onnx", file=sys.stderr)
        return 2
    try:
        generator, _ = load_release(find_checkpoint(args.checkpoint))
        torch.set_num_threads(usable_cpus())
        differences = export(generator, args.target)
    except (CheckpointError, EngineError, OnnxExportError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return report(differences, args.target)


def report(differences: list[Difference], target: Path) -> int:
    """Print the comparison; the exit code."""
    for difference in differences:
        shape = "×".join(map(str, difference.shape))
        verdict = "ok" if difference.ok() else "DIFFERS"
        print(
            f"{shape:>14}  largest {difference.largest:.1e}  mean {difference.mean:.1e}  {verdict}"
        )
    if not all(difference.ok() for difference in differences):
        print(
            f"error: ONNX Runtime and PyTorch differ by more than {TOLERANCE:g}; "
            f"{target} was not written",
            file=sys.stderr,
        )
        return 1
    size = target.stat().st_size / 1e6
    print(f"{target} written ({size:.1f} MB, opset {OPSET}, dynamic batch)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
