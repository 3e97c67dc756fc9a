"""`python -m booking_credits_contracts export DIR` writes the JSON Schemas below DIR."""

import argparse
from pathlib import Path

from booking_credits_contracts.schemas import export_schemas


def main() -> None:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m booking_credits_contracts")
    commands = parser.add_subparsers(required=True)
    export = commands.add_parser("export", help="write the JSON Schemas of all events")
    export.add_argument("folder", metavar="DIR", type=Path)
    export_schemas(parser.parse_args().folder)


if __name__ == "__main__":
    main()
