"""PNG files as they leave the server: lossless, marked as AI-colorized, nothing inherited."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from chromagan.demo.visitors.folders import new_path
from chromagan.images.png import write_png

Pixels = npt.NDArray[np.uint8]

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


def metadata(network: str) -> dict[str, str]:
    """The discreet mark: PNG texts, and XMP that image banks and newsrooms read."""
    return {
        "Software": f"ChromaGAN ({network})",
        "Comment": MARK,
        "Description": DESCRIPTION,
        "XML:com.adobe.xmp": _XMP,
    }


def save_png(image: Pixels, path: Path, *, network: str = "") -> str:
    """Write a lossless PNG atomically; `network` adds the mark (previews go without)."""
    part = path.parent / ".part"  # the folder is this file's own, or the page's
    with part.open("wb") as file:
        write_png(file, np.ascontiguousarray(image), text=metadata(network) if network else None)
    os.replace(part, path)
    return str(path)


def save_preview(image: Pixels, name: str) -> str:
    """A picture for the page, lossless like everything else."""
    return save_png(image, new_path(f"{name}.png"))


def save_result(image: Pixels, name: str, *, network: str) -> str:
    """A picture for the visitor to keep: `<name>-colorized.png`."""
    return save_png(image, new_path(f"{name}-colorized.png"), network=network)


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
