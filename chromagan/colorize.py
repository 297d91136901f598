"""Colour photographs from the command line.

python -m chromagan.colorize old.jpg -o new.png
python -m chromagan.colorize album/ 'scans/*.tif' -o coloured/
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromagan.files import remove_parts, sha256_of
from chromagan.images.finding import summary_of
from chromagan.inference.jobs import FORMATS, Job, JobError, Plan, plan_jobs, shard, share

if TYPE_CHECKING:
    from chromagan.inference.manifest import Manifest
    from chromagan.inference.pipeline import Outcome

DONE, PARTIAL, USAGE, INTERRUPTED = 0, 1, 2, 130
MANY = 16
"""From this many photographs on, the fastest engine is worth its start-up."""
_NAMED_FILES = 5


def build_parser() -> argparse.ArgumentParser:
    """The command's flags."""
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.colorize",
        description="Colour black-and-white photographs; their sharpness and luminance are kept.",
        epilog="Exit code: 0 all done, 1 some files failed (the rest is done), 2 wrong usage.",
    )
    _add_files(parser)
    _add_colours(parser)
    _add_results(parser)
    _add_batches(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="image files, folders (recursive) or globs"
    )
    parser.add_argument(
        "-o", "--output", required=True, help="folder for the results, or a file for one input"
    )
    parser.add_argument(
        "--max-pixels",
        type=_pixels,
        default=None,
        metavar="N",
        help="refuse larger images; 200M is 200 megapixels (default: 64M)",
    )
    parser.add_argument(
        "--accept-damaged", action="store_true", help="colour what is left of a JPEG that was cut"
    )
    parser.add_argument("--overwrite", action="store_true", help="redo results that exist")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress, no summary")


def _add_colours(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        default="lite",
        metavar="NAME|FILE|HUB_ID",
        help="built-in name, release file or Hugging Face id (default: %(default)s)",
    )
    parser.add_argument(
        "--saturation", type=_factor, default=1.0, help="0 is grey, 1 as predicted, 2 twice"
    )
    parser.add_argument(
        "--temperature", type=_number, default=0.0, help="warmer (+) or cooler (-), CIE b units"
    )
    parser.add_argument(
        "--guides",
        type=Path,
        metavar="FILE|FOLDER",
        help="known colours: the guides file of one photograph, or a folder of <stem>.json",
    )
    parser.add_argument(
        "--reference",
        type=Path,
        action="append",
        default=[],
        metavar="PHOTO",
        help="colour like this photograph in colour; may be given several times",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--engine", default="auto", help="auto, fastest, torch, openvino or onnxruntime"
    )
    parser.add_argument("--precision", default="auto", help="auto, fp32, bf16, fp16 or int8")
    parser.add_argument("--batch", type=_count, default=8, help="photographs per network run")
    parser.add_argument(
        "--flip", action="store_true", help="average with the mirrored photograph (twice the time)"
    )
    parser.add_argument(
        "--upsampling", choices=["nearest", "bilinear", "guided"], help="how colours are enlarged"
    )
    parser.add_argument(
        "--fit",
        choices=["square", "aspect", "letterbox"],
        help="how the network sees photographs that are not square",
    )
    parser.add_argument(
        "--working-size", type=_count, metavar="PX", help="side the network works at"
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    group.add_argument(
        "--format",
        choices=list(FORMATS),
        default="png",
        help="of the results in a folder; same: as the input (default: %(default)s)",
    )
    group.add_argument(
        "--quality", type=_quality, default=95, help="of JPEG, WebP and AVIF, 1 to 100"
    )
    group.add_argument(
        "--bits",
        choices=["8", "16", "same"],
        default="same",
        help="per channel in PNG and TIFF; same: 16 where the input has more than 8",
    )
    group.add_argument(
        "--strip", action="store_true", help="leave EXIF, IPTC, XMP and dates of the input out"
    )
    group.add_argument(
        "--keep-profile",
        action="store_true",
        help="convert results back into the input's RGB profile (default: sRGB)",
    )
    group.add_argument(
        "--layer",
        action="store_true",
        help='write the colour alone as well, for the blend mode "Color" over the scan',
    )
    group.add_argument(
        "--sign",
        nargs=2,
        type=Path,
        metavar=("CERT", "KEY"),
        help="add Content Credentials, signed with this certificate chain and key (PEM)",
    )
    group.add_argument(
        "--sidecar", action="store_true", help="write how it was made beside it, .json and .xmp"
    )


def _add_batches(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("large batches")
    group.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="list inputs, results, hashes, seconds and errors in a .csv or .jsonl",
    )
    group.add_argument(
        "--shard",
        type=_shard,
        metavar="K/N",
        help="do only this part of the work: machine K of N, all with the same inputs",
    )
    group.add_argument(
        "--watch", type=Path, metavar="FOLDER", help="go on colouring what arrives there"
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if bool(args.inputs) == bool(args.watch):
        parser.error("name inputs, or one folder with --watch")
    try:
        with contextlib.ExitStack() as stack:
            run = Run(args, _manifest(args, stack))
            return run.watch(args.watch) if args.watch else run.once(args.inputs)
    except (JobError, _UsageError) as error:
        return _usage_error(str(error))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where this ended", file=sys.stderr)
        return INTERRUPTED


class _UsageError(Exception):
    """Options that cannot be honoured, found while setting up."""


def _manifest(args: argparse.Namespace, stack: contextlib.ExitStack) -> Manifest | None:
    if args.manifest is None:
        return None
    from chromagan.inference.manifest import Manifest

    try:
        return stack.enter_context(Manifest(args.manifest))
    except ValueError as error:
        raise _UsageError(str(error)) from None
    except OSError as error:
        text = f"--manifest {args.manifest}: it cannot be written ({error.strerror})"
        raise _UsageError(text) from None


@dataclass
class Run:
    """One run of the command: its flags, and what has become of the photographs so far."""

    args: argparse.Namespace
    manifest: Manifest | None = None
    done: int = 0
    failed: int = 0
    already: int = 0
    results: int = 0
    _tools: Any = field(default=None, repr=False)

    def once(self, inputs: Sequence[str]) -> int:
        """Colour what is there; the exit code."""
        rank, world_size = _place()
        plan = plan_jobs(inputs, self.args.output, kind=self.args.format)
        self.results += len(plan.results)
        if not self.args.quiet and rank == 0:
            _say_left_out(plan)
        if not plan.jobs and not plan.missing and not plan.results:
            raise _UsageError(f"no image files in {', '.join(inputs)}")
        if rank == 0:
            for text in plan.missing:
                self._fail(f"{text}: there is no such file")
        _check_guides(self.args, plan.jobs)
        self._colour(share(plan.jobs, rank, world_size))
        if not self.args.quiet:
            prefix = f"[{rank}/{world_size}] " if world_size > 1 else ""
            print(prefix + summary(self.done, self.already, self.failed, self.results))
        return PARTIAL if self.failed else DONE

    def watch(self, folder: Path) -> int:
        """Colour what arrives in a folder until interrupted."""
        if not folder.is_dir():
            raise _UsageError(f"--watch {folder}: there is no such folder")
        if self.args.guides is not None and not self.args.guides.is_dir():
            raise _UsageError(f"--guides {self.args.guides}: --watch needs a folder of <stem>.json")
        for files in _arrivals(folder):
            plan = plan_jobs([str(folder)], self.args.output, kind=self.args.format)
            self._colour([job for job in plan.jobs if job.source in files])
        return PARTIAL if self.failed else DONE

    def _colour(self, jobs: Sequence[Job]) -> None:
        if self.args.shard is not None:
            jobs = shard(jobs, self.args.output, *self.args.shard)
        for folder in {job.target.parent for job in jobs}:
            remove_parts(folder)
        redo = self.args.overwrite
        todo = [job for job in jobs if redo or not job.target.exists()]
        self.already += len(jobs) - len(todo)
        if self.manifest is not None:
            for job in jobs:
                if not redo and job.target.exists():
                    self.manifest.complete(job)
        if todo:
            for outcome in self._outcomes(todo):
                self._note(outcome)

    def _outcomes(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        from tqdm import tqdm  # late imports: `--help` and usage errors need no network

        from chromagan.inference.pipeline import colorize_files

        if self._tools is None:
            self._tools = _tools(self.args, len(jobs))
        colorizer, settings = self._tools
        hidden = True if self.args.quiet else None  # None: only on a terminal
        with tqdm(total=len(jobs), unit="photo", disable=hidden) as self._progress:
            for outcome in colorize_files(jobs, colorizer, settings):
                self._progress.update()
                yield outcome

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


def _say_left_out(plan: Plan) -> None:
    lines = summary_of(plan.left_out)
    for line in lines[:_NAMED_FILES]:
        _say(line)
    if len(lines) > _NAMED_FILES:
        _say(f"{len(lines) - _NAMED_FILES} further kinds of files left out")


def _check_guides(args: argparse.Namespace, jobs: Sequence[Job]) -> None:
    from chromagan.inference.guide_source import GuideSource
    from chromagan.inference.guides import GuideError

    try:
        GuideSource(args.guides).check(job.source for job in jobs)
    except GuideError as error:
        raise _UsageError(f"--guides {error}") from None


def _guides(args: argparse.Namespace, colorizer: Any, max_pixels: int) -> Any:
    """The pipeline's `GuideSource`; learns the references."""
    from chromagan.images import ImageError, read_image
    from chromagan.inference.guide_source import GuideSource, Reference
    from chromagan.inference.guides import GuideError

    references = []
    for path in args.reference:
        try:
            photo = read_image(path, max_pixels=max_pixels)
            references.append(Reference(colorizer.learn(photo), sha256_of(path)))
        except (ImageError, GuideError, OSError) as error:
            raise _UsageError(f"--reference {error}") from None
    return GuideSource(args.guides, tuple(references))


def _arrivals(folder: Path) -> Iterable[list[Path]]:
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        text = "--watch needs the package watchfiles: pip install 'chromagan[watch]'"
        raise _UsageError(text) from None
    from chromagan.inference.watching import arriving

    return arriving(folder)


def _engine(name: str, photos: int) -> str:
    """Starting a faster engine costs about a second: worth it for many photographs only."""
    return "fastest" if name == "auto" and photos >= MANY else name


def _tools(args: argparse.Namespace, photos: int) -> tuple[Any, Any]:
    """The colorizer and the pipeline's settings."""
    from chromagan.checkpoint.source import find_checkpoint
    from chromagan.images import DEFAULT_MAX_PIXELS
    from chromagan.images.results import Style
    from chromagan.inference.colorizer import CheckpointError, load_colorizer
    from chromagan.inference.pipeline import Settings
    from chromagan.inference.products import Products
    from chromagan.inference.recolour import DEFAULT_UPSAMPLING

    try:
        colorizer = load_colorizer(
            args.checkpoint,
            device=_device(args.device),
            precision=args.precision,
            engine=_engine(args.engine, photos),
            fit=args.fit,
            working_size=args.working_size,
            upsampling=args.upsampling or DEFAULT_UPSAMPLING,
            flip=args.flip,
        )
        network = sha256_of(find_checkpoint(args.checkpoint))
    except (CheckpointError, ValueError) as error:
        raise _UsageError(str(error)) from error
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


def _place() -> tuple[int, int]:
    """(rank, number of processes) as torchrun tells them."""
    return int(os.environ.get("RANK", "0")), max(1, int(os.environ.get("WORLD_SIZE", "1")))


def _device(name: str) -> str:
    """Under torchrun `auto` gives every process of a machine its own GPU."""
    local = os.environ.get("LOCAL_RANK")
    if name != "auto" or local is None:
        return name
    import torch

    count = torch.cuda.device_count()
    return f"cuda:{int(local) % count}" if count else name


def _signer(files: Sequence[Path] | None) -> Any:
    if files is None:
        return None
    from chromagan.images.credentials import CertificateSigner, CredentialsError

    try:
        return CertificateSigner(files[0], files[1])
    except CredentialsError as error:
        raise _UsageError(f"--sign: {error}") from None


def summary(done: int, skipped: int, failed: int, results: int = 0) -> str:
    """One line on what a run did."""
    parts = [f"{done} coloured"]
    if skipped:
        parts.append(f"{skipped} already there (--overwrite redoes them)")
    if results:
        parts.append(f"{results} left out that this program has coloured itself")
    if failed:
        parts.append(f"{failed} failed")
    return ", ".join(parts)


def _usage_error(text: str) -> int:
    print(f"chromagan.colorize: {text}", file=sys.stderr)
    return USAGE


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a finite number: {text}")
    return value


def _factor(text: str) -> float:
    value = _number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"must not be negative: {text}")
    return value


def _quality(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError(f"must be 1 to 100: {text}")
    return value


def _shard(text: str) -> tuple[int, int]:
    """`3/8`."""
    number, _, count = text.partition("/")
    if not (number.isdigit() and count.isdigit() and 1 <= int(number) <= int(count)):
        raise argparse.ArgumentTypeError(f"must be like 3/8: {text}")
    return int(number), int(count)


def _pixels(text: str) -> int:
    """`64000000`, `64M`, `6.4e7`."""
    scale = 1_000_000 if text[-1:] in {"m", "M"} else 1
    value = _number(text[:-1] if scale > 1 else text) * scale
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1: {text}")
    return int(value)


if __name__ == "__main__":
    raise SystemExit(main())
