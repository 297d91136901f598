"""What is made of one photograph's colours: the result, the colour alone, the sidecars.

Everything is written before the result takes its name, so that a result that is there is complete.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chromagan import __version__
from chromagan.files import write_atomically, write_text
from chromagan.images import ImageError, Metadata, Note, Photo, Provenance
from chromagan.images.metadata.provenance import now
from chromagan.images.pixels import bands
from chromagan.images.writing import Style, write_result
from chromagan.inference.jobs import Job
from chromagan.inference.recolour import recolour, recolour_deep

if TYPE_CHECKING:
    from chromagan.inference.colorizer import ChromaGANColorizer

_LUMA = np.array((0.3, 0.59, 0.11), dtype=np.float32)


class Signer(Protocol):
    """What gives a finished file its Content Credentials."""

    def sign(self, unsigned: Path, signed: Path, original: Path, made: Provenance) -> None:
        """Copy `unsigned` to `signed` with a manifest; raises whatever was wrong."""
        ...


@dataclass(frozen=True)
class Products:
    """What is written for each photograph.

    `network_sha256`: the checkpoint's file. `layer`: the colour alone as well. `sidecar`: the
    provenance as `.json` and `.xmp` beside the result. `signer`: Content Credentials.
    """

    style: Style = field(default_factory=Style)
    network_sha256: str = ""
    layer: bool = False
    sidecar: bool = False
    signer: Signer | None = None


def finish(
    job: Job,
    photo: Photo,
    eight_bits: NDArray[np.uint8],
    ab: NDArray[np.float32],
    sha256: str,
    colorizer: ChromaGANColorizer,
    products: Products,
    *,
    saturation: float = 1.0,
    temperature: float = 0.0,
    guides_record: Mapping[str, Any] | None = None,
) -> tuple[Note, ...]:
    """Join colours with the photograph and write all products; returns the notes of its reading
    with what was lost in writing.

    The photo's pixels are overwritten. `guides_record`: digests of what guided `ab`.
    """
    pixels, notes = photo.pixels, photo.notes
    if photo.metadata.manifest and products.signer is None:
        notes = (*notes, Note("credentials"))
    options = {"saturation": saturation, "temperature": temperature}
    method = colorizer.upsampling
    if pixels.dtype == np.uint16:
        recolour_deep(pixels, ab, eight_bits, upsampling=method, out=pixels, **options)
    else:
        recolour(pixels, ab, upsampling=method, out=pixels, **options)
    provenance = Provenance(
        network=colorizer.name,
        network_sha256=products.network_sha256,
        version=__version__,
        original=job.source.name,
        original_sha256=sha256,
        settings=options | settings_of(colorizer) | dict(guides_record or {}),
        date=now(),
        notes=notes,
    )
    job.target.parent.mkdir(parents=True, exist_ok=True)
    if products.layer:
        write_result(job.layer, color_layer(pixels), Metadata(), provenance, products.style)
    if products.sidecar:
        _write_sidecars(job.target, provenance)
    return notes + _write(job, pixels, photo.metadata, provenance, products)


def settings_of(colorizer: ChromaGANColorizer) -> dict[str, Any]:
    """What of a colorizer changes colours, as provenance records it."""
    return {
        "fit": colorizer.fit,
        "working_size": colorizer.working_size,
        "upsampling": colorizer.upsampling,
        "flip": colorizer.flip,
    }


def _write(
    job: Job,
    pixels: NDArray[Any],
    metadata: Metadata,
    provenance: Provenance,
    products: Products,
) -> tuple[Note, ...]:
    if products.signer is None:
        return write_result(job.target, pixels, metadata, provenance, products.style)
    signer = products.signer
    lost: list[Note] = []

    def write_signed(part: Path) -> None:
        unsigned = part.with_name(part.name + job.target.suffix)
        try:
            lost.extend(write_result(unsigned, pixels, metadata, provenance, products.style))
            signer.sign(unsigned, part, job.source, provenance)
        except ImageError:
            raise
        except Exception as error:
            text = f"it cannot be signed ({' '.join(str(error).split())[:160]})"
            raise ImageError(str(job.target), text) from None
        finally:
            unsigned.unlink(missing_ok=True)

    write_atomically(job.target, write_signed)
    return tuple(lost)


def _write_sidecars(target: Path, provenance: Provenance) -> None:
    record = provenance.record() | {"result": target.name}
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_text(target.with_name(f"{target.name}.json"), text)
    write_text(target.with_name(f"{target.name}.xmp"), provenance.packet().decode())


def color_layer(result: NDArray[Any]) -> NDArray[Any]:
    """The colour alone, for the blend mode "Color" over the untouched scan; same size and depth.

    That mode (PDF 1.7, 11.3.5.3) keeps of a layer what differs from its luma 0.3 R + 0.59 G +
    0.11 B. So every pixel is moved to middle grey, and towards it where a channel would not fit.
    """
    white = np.float32(np.iinfo(result.dtype).max)
    out = np.empty_like(result)
    for rows in bands(*result.shape[:2]):
        unit = result[rows].astype(np.float32) / white
        chroma = unit - (unit @ _LUMA)[..., None]
        reach = np.minimum(1, 0.5 / np.maximum(np.abs(chroma).max(axis=-1, keepdims=True), 1e-6))
        out[rows] = (0.5 + chroma * reach) * white + 0.5
    return out
