"""Colour photographs from the command line.

python -m chromagan.colorize old.jpg -o new.png
python -m chromagan.colorize album/ 'scans/*.tif' -o coloured/
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromagan.files import remove_parts, sha256_of
from chromagan.images.finding import summary_of
from chromagan.inference.jobs import FORMATS, Job, JobError, plan_jobs, shard, share

if TYPE_CHECKING:
    from chromagan.inference.colorizer import ChromaGANColorizer
    from chromagan.inference.guides.points import GuideSource
    from chromagan.inference.manifest import Manifest
    from chromagan.inference.pipeline import Outcome, Settings

DONE, PARTIAL, USAGE, INTERRUPTED = 0, 1, 2, 130
MANY = 16
"""From this many photographs on, the fastest engine is worth its start-up of about a second."""
_NAMED_FILES = 5


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.colorize",
        description="Colour black-and-white photographs; their sharpness and luminance are kept.",
        epilog="Exit code: 0 all done, 1 some files failed (the rest is done), 2 wrong usage.",
    )
    add: Callable[..., Any] = parser.add_argument
    add("inputs", nargs="*", metavar="INPUT", help="image files, folders (recursive) or globs")
    text = "folder for the results, or a file for one input"
    add("-o", "--output", required=True, help=text)
    text = "refuse larger images; 200M is 200 megapixels (default: 64M)"
    add("--max-pixels", type=_pixels, metavar="N", help=text)
    text = "colour what is left of a file that was cut off: JPEG, PNG, TIFF, GIF, BMP or PNM"
    add("--accept-damaged", action="store_true", help=text)
    add("--overwrite", action="store_true", help="redo results that exist")
    add("-q", "--quiet", action="store_true", help="no progress, no summary")
    text = "built-in name, release file or Hugging Face id (default: %(default)s)"
    add("--checkpoint", default="lite", metavar="NAME|FILE|HUB_ID", help=text)
    text = "0 is grey, 1 as predicted, 2 twice"
    add("--saturation", type=_number(float, low=0), default=1.0, help=text)
    text = "warmer (+) or cooler (-), CIE b units"
    add("--temperature", type=_number(float), default=0.0, help=text)
    text = "known colours: the guides file of one photograph, or a folder of <stem>.json"
    add("--guides", type=Path, metavar="FILE|FOLDER", help=text)
    text = "colour like this photograph in colour; may be given several times"
    add("--reference", type=Path, action="append", default=[], metavar="PHOTO", help=text)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--engine", default="auto", help="auto, fastest, torch, openvino or onnxruntime")
    add("--precision", default="auto", help="auto, fp32, bf16 or fp16")
    add("--batch", type=_number(int, low=1), default=8, help="photographs per network run")
    text = "average with the mirrored photograph (twice the time)"
    add("--flip", action="store_true", help=text)
    choices = ["nearest", "bilinear", "guided"]
    add("--upsampling", choices=choices, help="how colours are enlarged")
    choices = ["square", "aspect", "letterbox"]
    add("--fit", choices=choices, help="how the network sees photographs that are not square")
    text = "side the network works at"
    add("--working-size", type=_number(int, low=1), metavar="PX", help=text)
    add = parser.add_argument_group("results").add_argument
    text = "of the results in a folder; same: as the input (default: %(default)s)"
    add("--format", choices=list(FORMATS), default="png", help=text)
    text = "of JPEG, WebP and AVIF, 1 to 100"
    add("--quality", type=_number(int, low=1, high=100), default=95, help=text)
    text = "per channel in PNG and TIFF; same: 16 where the input has more than 8"
    add("--bits", choices=["8", "16", "same"], default="same", help=text)
    text = "leave EXIF, IPTC, XMP and dates of the input out"
    add("--strip", action="store_true", help=text)
    text = "convert results back into the input's RGB profile (default: sRGB)"
    add("--keep-profile", action="store_true", help=text)
    text = 'write the colour alone as well, for the blend mode "Color" over the scan'
    add("--layer", action="store_true", help=text)
    text = "add Content Credentials, signed with this certificate chain and key (PEM)"
    add("--sign", nargs=2, type=Path, metavar=("CERT", "KEY"), help=text)
    text = "write how it was made beside it, .json and .xmp"
    add("--sidecar", action="store_true", help=text)
    add = parser.add_argument_group("large batches").add_argument
    text = "list inputs, results, hashes, seconds and errors in a .csv or .jsonl"
    add("--manifest", type=Path, metavar="FILE", help=text)
    text = "do only this part of the work: machine K of N, all with the same inputs"
    add("--shard", type=_shard, metavar="K/N", help=text)
    add("--watch", type=Path, metavar="FOLDER", help="go on colouring what arrives there")
    return parser


def _number(kind: type, low: float = -math.inf, high: float = math.inf) -> Callable[[str], Any]:
    """Reads a finite number within limits."""

    def read(text: str) -> Any:
        value = kind(text)
        if not math.isfinite(value) or not low <= value <= high:
            limits = f" from {low:g}" * math.isfinite(low) + f" to {high:g}" * math.isfinite(high)
            raise argparse.ArgumentTypeError(f"must be a finite number{limits}: {text}")
        return value

    read.__name__ = kind.__name__  # argparse says "invalid int value"
    return read


def _pixels(text: str) -> int:
    """`64000000`, `64M`, `6.4e7`."""
    scale = 1_000_000 if text[-1:] in {"m", "M"} else 1
    return int(_number(float, low=1 / scale)(text[:-1] if scale > 1 else text) * scale)


def _shard(text: str) -> tuple[int, int]:
    """`3/8`."""
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"must be like 3/8: {text}")
    return int(number), int(count)


def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    args = parser.parse_args(argv)
    if bool(args.inputs) == bool(args.watch):
        parser.error("name inputs, or one folder with --watch")
    try:
        with _manifest(args.manifest) as manifest:
            run = Run(args, manifest)
            return run.watch(args.watch) if args.watch else run.once(args.inputs)
    except JobError as error:
        print(f"chromagan.colorize: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this ended", file=sys.stderr)
        return INTERRUPTED


def _manifest(path: Path | None) -> AbstractContextManager[Manifest | None]:
    if path is None:
        return nullcontext()
    from chromagan.inference.manifest import Manifest

    with _told("", ValueError), _told("--manifest cannot be written: ", OSError):
        return Manifest(path)


@contextmanager
def _told(about: str, *kinds: type[Exception]) -> Iterator[None]:
    """Errors of these kinds are wrong usage, said of the flag that led to them."""
    try:
        yield
    except kinds as error:
        named = isinstance(error, OSError) and error.filename
        text = f"{error.filename}: {error.strerror}" if named else str(error)  # type: ignore[attr-defined]
        raise JobError(about + text) from None


@dataclass
class Run:
    """One run of the command: its flags, and what has become of the photographs so far."""

    args: argparse.Namespace
    manifest: Manifest | None = None
    done: int = 0
    failed: int = 0
    already: int = 0
    results: int = 0
    photos: int = 0
    """How many are coloured at first, which decides on the engine."""

    def once(self, inputs: Sequence[str]) -> int:
        """Colour what is there; the exit code."""
        from chromagan.inference.guides import GuideError
        from chromagan.inference.guides.points import GuideSource

        rank, processes = (int(os.environ.get(v, n)) for v, n in (("RANK", 0), ("WORLD_SIZE", 1)))
        plan = plan_jobs(inputs, self.args.output, kind=self.args.format)
        self.results += len(plan.results)
        if not self.args.quiet and rank == 0:
            left_out = summary_of(plan.left_out)
            for line in left_out[:_NAMED_FILES]:
                _say(line)
            if len(left_out) > _NAMED_FILES:
                _say(f"{len(left_out) - _NAMED_FILES} further kinds of files left out")
        if not plan.jobs and not plan.missing and not plan.results:
            raise JobError(f"no image files in {', '.join(inputs)}")
        for text in plan.missing if rank == 0 else ():
            self._fail(f"{text}: there is no such file")
        with _told("--guides ", GuideError):
            GuideSource(self.args.guides).check(job.source for job in plan.jobs)
        self._colour(share(plan.jobs, rank, processes))
        if not self.args.quiet:
            print(f"[{rank}/{processes}] " * (processes > 1) + self.summary())
        return PARTIAL if self.failed else DONE

    def watch(self, folder: Path) -> int:
        """Colour what arrives in a folder until interrupted."""
        if not folder.is_dir():
            raise JobError(f"--watch {folder}: there is no such folder")
        if self.args.guides is not None and not self.args.guides.is_dir():
            raise JobError(f"--guides {self.args.guides}: --watch needs a folder of <stem>.json")
        with _told("--watch needs a package, pip install 'chromagan[watch]': ", ImportError):
            import watchfiles  # noqa: F401
        from chromagan.inference.jobs import arriving

        for files in arriving(folder):
            plan = plan_jobs([str(folder)], self.args.output, kind=self.args.format)
            self._colour([job for job in plan.jobs if job.source in files])
        return PARTIAL if self.failed else DONE

    def summary(self) -> str:
        """One line on what the run did."""
        parts = [
            (True, f"{self.done} coloured"),
            (self.already, f"{self.already} already there (--overwrite redoes them)"),
            (self.results, f"{self.results} left out that this program has coloured itself"),
            (self.failed, f"{self.failed} failed"),
        ]
        return ", ".join(text for said, text in parts if said)

    def _colour(self, jobs: Sequence[Job]) -> None:
        if self.args.shard is not None:
            jobs = shard(jobs, self.args.output, *self.args.shard)
        for folder in {job.target.parent for job in jobs}:
            remove_parts(folder)
        todo = []
        for job in jobs:
            if self.args.overwrite or not job.target.exists():
                todo.append(job)
                continue
            self.already += 1
            if self.manifest is not None:
                self.manifest.complete(job)
        self.photos = self.photos or len(todo)
        for outcome in self._outcomes(todo) if todo else ():
            self._note(outcome)

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        from tqdm import tqdm  # late imports: `--help` and usage errors need no network

        from chromagan.inference.pipeline import colorize_files

        colorizer, settings = self._tools
        hidden = True if self.args.quiet else None  # None: only on a terminal
        outcomes = colorize_files(jobs, colorizer, settings)
        yield from tqdm(outcomes, total=len(jobs), unit="photo", disable=hidden)

    @cached_property
    def _tools(self) -> tuple[ChromaGANColorizer, Settings]:
        """The colorizer and the pipeline's settings."""
        from chromagan.checkpoint.source import find_checkpoint
        from chromagan.images import DEFAULT_MAX_PIXELS
        from chromagan.images.writing import Style
        from chromagan.inference.colorizer import load_colorizer
        from chromagan.inference.pipeline import Settings
        from chromagan.inference.products import Products
        from chromagan.inference.recolour import DEFAULT_UPSAMPLING

        args, many = self.args, self.photos >= MANY
        with _told("", ValueError):
            colorizer = load_colorizer(
                args.checkpoint,
                device=args.device,
                precision=args.precision,
                engine="fastest" if args.engine == "auto" and many else args.engine,
                fit=args.fit,
                working_size=args.working_size,
                upsampling=args.upsampling or DEFAULT_UPSAMPLING,
                flip=args.flip,
            )
            network = sha256_of(find_checkpoint(args.checkpoint))
        max_pixels = args.max_pixels or DEFAULT_MAX_PIXELS
        return colorizer, Settings(
            batch=args.batch,
            max_pixels=max_pixels,
            saturation=args.saturation,
            temperature=args.temperature,
            accept_damaged=args.accept_damaged,
            bits=args.bits,
            guides=_guides(args, colorizer, max_pixels),
            products=Products(
                style=Style(args.quality, not args.strip, args.keep_profile),
                network_sha256=network,
                layer=args.layer,
                sidecar=args.sidecar,
                signer=_signer(args.sign),
            ),
        )

    def _note(self, outcome: Outcome) -> None:
        if self.manifest is not None:
            self.manifest.enter(outcome)
        if outcome.error is not None:
            self._fail(outcome.error)
        elif outcome.skipped is not None:
            self.results += 1
        else:
            self.done += 1
            for note in () if self.args.quiet else outcome.notes:
                _say(f"{outcome.job.source}: {note}")

    def _fail(self, text: str) -> None:
        self.failed += 1
        _say(text)


def _say(text: str) -> None:
    """One write per line, so that nothing can come between, not even a progress bar."""
    from tqdm import tqdm

    tqdm.write(text + "\n", file=sys.stderr, end="")


def _guides(
    args: argparse.Namespace, colorizer: ChromaGANColorizer, max_pixels: int
) -> GuideSource:
    """What is known of the photographs' colours; learns the references."""
    from chromagan.images import ImageError, read_image
    from chromagan.inference.guides import GuideError
    from chromagan.inference.guides.points import GuideSource, Reference

    references = []
    for path in args.reference:
        with _told("--reference ", ImageError, GuideError, OSError):
            photo = read_image(path, max_pixels=max_pixels)
            references.append(Reference(colorizer.learn(photo), sha256_of(path)))
    return GuideSource(args.guides, tuple(references))


def _signer(files: Sequence[Path] | None) -> Any:
    if files is None:
        return None
    from chromagan.images.metadata.credentials import CertificateSigner, CredentialsError

    with _told("--sign: ", CredentialsError):
        return CertificateSigner(files[0], files[1])


if __name__ == "__main__":
    raise SystemExit(main())
