"""LPIPS and FID, on request: `--extra lpips,fid`.

Both need networks that other packages bring (`pip install 'chromagan[metrics]'`), which download
their weights on first use. Nothing here is imported unless it is asked for.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from eval import metrics
from eval.folder import RunFolder, write_picture
from eval.lab import Rgb8, rgb_to_lab
from eval.plots import read_output, read_truth
from eval.protocol import Luminance
from eval.summary import Row

EXTRAS = {"lpips": "lpips", "fid": "torch_fidelity"}
SIDE = 256


class ExtraError(ValueError):
    """An optional metric cannot be computed here; one sentence."""


def check_extras(names: Sequence[str]) -> None:
    """Raise ExtraError for an unknown metric, and for one whose package is not installed."""
    for name in names:
        if name not in EXTRAS:
            raise ExtraError(f"--extra {name}: choose from {', '.join(EXTRAS)}")
        if find_spec(EXTRAS[name]) is None:
            package = EXTRAS[name].replace("_", "-")
            raise ExtraError(
                f"--extra {name} needs the package {package}: pip install 'chromagan[metrics]'"
            )


def pictures(
    folder: RunFolder, rows: Sequence[Row], luminance: Luminance
) -> Iterator[tuple[Rgb8, Rgb8]]:
    """Truth and judged picture of every row at 256², true L with the output's ab unless "own"."""
    for row in rows:
        truth = metrics.squash(read_truth(folder, row), SIDE)
        output = metrics.squash(read_output(folder, row), SIDE)
        if luminance == "true":
            output = metrics.rebuild(rgb_to_lab(truth), rgb_to_lab(output))
        yield truth, output


def add_lpips(folder: RunFolder, rows: Sequence[Row], luminance: Luminance, device: str) -> None:
    """Put `lpips` into every row: AlexNet, version 0.1, at 256², input in [-1, 1]; 0 = equal."""
    distance = _lpips(device)
    for row, (truth, output) in zip(rows, pictures(folder, rows, luminance), strict=True):
        row["lpips"] = distance(truth, output)


def fid(folder: RunFolder, rows: Sequence[Row], luminance: Luminance, device: str) -> float | None:
    """FID of all outputs against their truths at 256², torch-fidelity's Inception.

    Biased upwards for few images: compare only runs over the same images. Numbers made with
    torchvision's Inception (DDColor, CT2) are on another scale.
    """
    import torch_fidelity

    with tempfile.TemporaryDirectory() as temporary:
        sides = (Path(temporary, "truth"), Path(temporary, "output"))
        for index, pair in enumerate(pictures(folder, rows, luminance)):
            for side, picture in zip(sides, pair, strict=True):
                write_picture(side / f"{index:06}.png", picture)
        found = torch_fidelity.calculate_metrics(
            input1=str(sides[1]), input2=str(sides[0]), fid=True,
            cuda=device.startswith("cuda"), verbose=False,
        )  # fmt: skip
    value = float(found["frechet_inception_distance"])
    return value if math.isfinite(value) else None


def _lpips(device: str) -> Callable[[Rgb8, Rgb8], float]:
    import lpips
    import torch

    place = "cuda" if device == "auto" and torch.cuda.is_available() else device
    network: Any = (
        lpips.LPIPS(net="alex", verbose=False).eval().to("cpu" if place == "auto" else place)
    )

    def code(image: Rgb8) -> torch.Tensor:
        planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / 127.5 - 1
        return torch.from_numpy(planes)[None].to(next(network.parameters()).device)

    def distance(truth: Rgb8, output: Rgb8) -> float:
        with torch.inference_mode():
            return float(network(code(truth), code(output)))

    return distance
