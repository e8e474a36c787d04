"""`python -m training CONFIG`: everything that is missing, from corpora to a pack."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import config, data


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("config", type=Path, help="a file of training/configs")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="work folder")
    parser.add_argument(
        "--corpora",
        type=Path,
        default=os.environ.get("LMZIP_CORPORA"),
        help="folder with train/ and eval/ (default: LMZIP_CORPORA); not needed with shards",
    )
    parser.add_argument("--only", choices=("data", "train", "export"), help="only that stage")
    parser.add_argument("--threads", type=int, default=0, help="0: all processors")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread (CPU)")
    parser.add_argument("--eager", action="store_true", help="do not compile the model")
    args = parser.parse_args()
    settings = config.load(args.config)
    if args.only in (None, "data") and args.corpora:
        data.prepare(args.corpora, args.work, settings.data)
    if args.only in (None, "train"):
        from . import train

        train.run(
            settings,
            args.work,
            threads=1 if args.workers > 1 else args.threads,
            workers=args.workers,
            compiled=not args.eager,
        )
    if args.only in (None, "export"):
        from . import export

        print(export.export(settings, args.work))


if __name__ == "__main__":
    main()
