"""What results say of themselves, and whether it is true.

python -m chromagan.inspect coloured/*.png
python -m chromagan.inspect coloured/a.jpg --original album/a.jpg --trust authority.pem
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chromagan.files import sha256_of
from chromagan.images import ImageError
from chromagan.images.metadata.provenance import SOURCE_TYPE, provenance_of
from chromagan.images.metadata.reading import has_manifest
from chromagan.images.opening import opened

TRUE, UNTRUE, USAGE = 0, 1, 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m chromagan.inspect",
        description="Print how coloured photographs were made; verify signature and original.",
        epilog="Exit code: 0 everything checked is true, 1 something is not, 2 wrong usage.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="results")
    parser.add_argument(
        "--original", type=Path, metavar="PHOTO", help="check that the result is made of this file"
    )
    parser.add_argument(
        "--trust", type=Path, metavar="PEM", help="authorities whose signatures are trusted"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = build_parser().parse_args(argv)
    if args.original is not None and len(args.files) > 1:
        print("chromagan.inspect: --original goes with one file", file=sys.stderr)
        return USAGE
    for path in (args.original, args.trust):
        if path is not None and not path.is_file():
            print(f"chromagan.inspect: {path}: there is no such file", file=sys.stderr)
            return USAGE
    worst = TRUE
    for path in args.files:
        try:
            record = inspect_file(path, args.original, args.trust)
        except ImageError as error:
            print(error, file=sys.stderr)
            worst = UNTRUE
            continue
        print(json.dumps(record, ensure_ascii=False) if args.json else _told(record))
        worst = max(worst, UNTRUE if record["false"] else TRUE)
    return worst


def inspect_file(path: Path, original: Path | None, anchors: Path | None) -> dict[str, Any]:
    """What a file says (`says`, None where it is no result of this program) and what was checked.

    `original` and `signature` tell the outcome of each check in words, None where there was
    nothing to check; `false` says whether any check failed. Raises `ImageError`.
    """
    with opened(path, sys.maxsize) as file:
        signed = has_manifest(file)
    says = provenance_of(path)
    record: dict[str, Any] = {
        "file": str(path),
        "says": None if says is None else asdict(says) | {"digital_source_type": SOURCE_TYPE},
        "original": None,
        "signature": None,
        "false": False,
    }
    if original is not None:
        true = says is not None and says.original_sha256 == sha256_of(original)
        record["original"] = "this is its original" if true else "this is not its original"
        record["false"] |= not true
    if signed:
        record["signature"], true = _signature(path, anchors)
        record["false"] |= not true
    return record


def _signature(path: Path, anchors: Path | None) -> tuple[str, bool]:
    from chromagan.images.metadata.credentials import CredentialsError, verify

    try:
        found = verify(path, anchors)
    except CredentialsError as error:
        return f"not verified: {error}", True
    except ImageError as error:
        return f"broken: {error.reason}", False
    if not found.signed:
        return "broken: the Content Credentials cannot be found", False
    if not found.intact:
        return f"broken: the file was changed after signing ({', '.join(found.problems)})", False
    if found.trusted:
        return f"valid, by {found.signer}, trusted", True
    if anchors is not None:
        return f"intact, but {found.signer} is not vouched for by {anchors}", False
    return f"intact, by {found.signer} (--trust says whom to believe)", True


def _told(record: dict[str, Any]) -> str:
    says = record["says"]
    lines = [record["file"]]
    if says is None:
        lines.append("  says nothing of being coloured by this program")
    else:
        settings = ", ".join(f"{key} {value}" for key, value in says["settings"].items())
        lines += [
            f"  colours   predicted, not true ({says['digital_source_type'].rsplit('/')[-1]})",
            f"  network   {says['network']}, version {says['version']}",
            f"  weights   {says['network_sha256']}",
            f"  settings  {settings}",
            f"  original  {says['original']}",
            f"  sha256    {says['original_sha256']}",
            f"  date      {says['date']}",
            *(f"  note      {note}" for note in says["notes"]),
        ]
    lines += [
        f"  {name:9} {record[key]}"
        for name, key in (("checked", "original"), ("signature", "signature"))
        if record[key]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
