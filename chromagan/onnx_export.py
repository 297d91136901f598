"""A checkpoint as an ONNX graph that any runtime can load.

    python -m chromagan.onnx_export CHECKPOINT            # beside its weights
    python -m chromagan.onnx_export CHECKPOINT OUT.onnx   # a file of its own

CHECKPOINT is a built-in name, a release file or a Hub id. Without OUT the graph becomes part of
the release, which then runs without PyTorch. What goes in and out is in
`chromagan.checkpoint.graph`. The file is run with ONNX Runtime on several batch sizes and kept only
if it gives PyTorch's answer; the exit code is 1 when it does not and 2 for a wrong command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chromagan.checkpoint.graph import TOLERANCE, GraphError, export_graph
from chromagan.checkpoint.release_file import attach_graph, load_release
from chromagan.checkpoint.source import CheckpointError, find_checkpoint


def main(argv: list[str] | None = None) -> int:
    """Command line; see the module's text for the exit codes."""
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.onnx_export", description="Write a checkpoint as an ONNX graph."
    )
    parser.add_argument("checkpoint", help="built-in name, release file or Hub id")
    parser.add_argument("target", type=Path, nargs="?", help="file (default: beside the weights)")
    args = parser.parse_args(argv)
    if args.target is not None and args.target.suffix != ".onnx":
        print(f"error: {args.target}: the target must end in .onnx", file=sys.stderr)
        return 2
    try:
        checkpoint, path = find_checkpoint(args.checkpoint), args.target
        if path is None:
            path = attach_graph(checkpoint)
        else:
            export_graph(load_release(checkpoint)[0], path)
    except (CheckpointError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except GraphError as error:
        print(f"error: {args.checkpoint}: {error}", file=sys.stderr)
        return 1
    size = path.stat().st_size / 1e6
    print(f"{path} written ({size:.1f} MB, within {TOLERANCE:g} of PyTorch)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
