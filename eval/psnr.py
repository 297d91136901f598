"""PSNR and more of every colorization method on any photographs: `python eval/psnr.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if not __package__:  # `python eval/psnr.py`: find the packages, not the modules beside this file
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from chromagan.model.device import choose_device
from chromagan.samples import sample_paths
from eval.baselines import method_names
from eval.report import failures
from eval.report.figures import write_plots
from eval.report.psnr_report import LEGEND, metrics_table, notes, psnr_table, write_tables
from eval.report.summary import summarise, write_per_image, write_summary
from eval.report.tables import plain, show, write_page
from eval.run.entries import (
    Entry,
    available,
    named_paths,
    network,
    networks,
    outputs,
    plain_name,
)
from eval.run.evaluation import Run
from eval.run.folder import Extras, RunFolder
from eval.run.photos import open_photos, readable
from eval.run.scenes import kinds_of

RESULTS = Path("results")


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python eval/psnr.py",
        description="Measure colorization methods: PSNR in the official definition and more.",
    )
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR|TAR", help="colour photographs (default: the samples)")
    add(
        "--methods",
        metavar="A,B,…",
        help=f"of {', '.join(method_names())} (default: all that "
        "can run); METHOD@TAG takes part once more with other weights",
    )
    add("--weights", action="append", default=[], metavar="NAME=FILE", help="weights of a method")
    add(
        "--outputs",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="pictures of another program, same names and sizes as the photographs",
    )
    add(
        "--luminance",
        choices=("true", "own"),
        default="true",
        help="--outputs are judged with the photograph's luminance (true: chroma alone, the "
        "official definition) or as they are (own)",
    )
    add("--out", type=Path, metavar="DIR", help="run folder (default: results/NAME-OF-IMAGES)")
    add("--device", default="auto", help="auto, cpu, cuda, mps")
    add("--limit", type=int, metavar="N", help="only the first N images by name")
    add("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    add("--workers", type=int, default=2, help="threads that measure and write (default 2)")
    add("--extra", default="", metavar="lpips,lpips_vgg,fid", help="from optional packages")
    add("--lpips-weights", type=Path, metavar="FILE", help="VGG-16's convolutions for lpips_vgg")
    add("--no-plots", action="store_true", help="numbers and tables only")
    return parser


def prepare(args: argparse.Namespace) -> tuple[Run, Extras]:
    """Check everything that can be checked before hours of work. Raises one-sentence errors."""
    if args.limit is not None and args.limit < 1:
        raise ValueError("--limit must be at least 1")
    if args.workers < 1:
        raise ValueError("--workers must be at least 1")
    device = choose_device(args.device)
    extras = Extras(
        [name.strip() for name in args.extra.split(",") if name.strip()], device, args.lpips_weights
    )
    photos = open_photos(args.images or sample_paths("color")[0].parent, args.limit)
    weights = named_paths(args.weights, "--weights")
    folders = named_paths(args.outputs, "--outputs")
    entries, skipped = _networks(args.methods, weights, device, only_outputs=bool(folders))
    for name, path in folders.items():
        taken = {*(entry.name for entry in entries), *method_names()}
        if name in taken or not plain_name(name):
            raise ValueError(f"--outputs {name}={path}: choose another name, {name!r} is not free")
        entries.append(outputs(name, path, photos, args.luminance))
    images = Path("samples") if args.images is None else args.images.resolve()
    shown = "chromagan/samples/color" if args.images is None else readable(images.name)
    folder = RunFolder(args.out or RESULTS / images.name.removesuffix(".tar"))
    folder.path.mkdir(parents=True, exist_ok=True)
    run = Run(shown, photos, entries, folder, args.seed, args.workers, device, skipped)
    return run, extras


def main(argv: list[str] | None = None) -> int:
    """Run the evaluation; 0 = all images measured, 1 = some left out, 2 = wrong call."""
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        run, extras = prepare(args)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        table = run.execute()
        rows = next(iter(table.values()))
        of_whole = extras.measure(run.folder, run.entries, table) if rows else {}
        kinds = kinds_of(run.folder, rows, run.device) if rows else []
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from {run.folder.path}", file=sys.stderr)
        return 130
    for name, reason in sorted(run.excluded.items()):
        print(f"left out for every method: {name}: {reason}", file=sys.stderr)
    if not rows:
        print("no image could be measured with every method", file=sys.stderr)
        return 1
    whole = {
        name: failures.analyse(rows, kinds, run.seed) | of_whole.get(name, {})
        for name, rows in table.items()
    }
    summary = summarise(table, run.seed, run.about(table), whole)
    write_per_image(run.folder, table)
    write_summary(run.folder, summary)
    write_tables(run.folder, summary)
    if not args.no_plots:
        write_plots(run.folder, summary, table)
        title = f"Where methods fail: {summary['images']['count']} photographs"
        write_page(run.folder.path, "failures", title, failures.sections(summary))
    _print_report(run, summary)
    return 1 if run.excluded else 0


def _networks(
    listed: str | None, weights: dict[str, Path], device: str, *, only_outputs: bool
) -> tuple[list[Entry], dict[str, str]]:
    if listed is None:
        if only_outputs and not weights:
            return [network("grey", None, device)], {}
        if unknown := set(weights) - set(method_names()):
            raise ValueError(f"--weights {unknown.pop()}=…: name it in --methods too")
        return available(device, weights)
    return networks(listed, weights, device), {}


def _print_report(run: Run, summary: dict[str, Any]) -> None:
    show(plain(psnr_table(summary)), LEGEND, "")
    show(plain(metrics_table(summary, errors=False)), "")
    for line in notes(summary):
        show(f"  {line}")
    for name, timing in run.timing.items():
        show(
            f"  time of {name}: {timing.photos} photographs, network {timing.network:.1f} s, all "
            f"{timing.wall:.1f} s: metrics and I/O added {timing.added:.0%} (their processor time "
            f"is {timing.overhead:.0%} of the network's)"
        )
    images = summary["images"]
    show(f"  {images['count']} images, list hash {images['list_hash']}; files in {run.folder.path}")


if __name__ == "__main__":
    raise SystemExit(main())
