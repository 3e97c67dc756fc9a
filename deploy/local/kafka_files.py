"""What running Apache Kafka takes: a Java, and its jars, which Maven resolves once."""

import hashlib
import logging
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from local.supervision import UnavailableError

_POM = Path(__file__).parent.parent / "kafka" / "pom.xml"
_OLDEST_JAVA = 17
_DOWNLOAD_TIMEOUT_SECONDS = 600

_log = logging.getLogger(__name__)


def find_java() -> str:
    """Return the path of a Java that Kafka can run on."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise UnavailableError(f"Apache Kafka needs Java {_OLDEST_JAVA} or newer; found none")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        what = said.partition("\n")[0]
        raise UnavailableError(f"Apache Kafka needs Java {_OLDEST_JAVA} or newer; found {what}")
    return found


def find_jars() -> Path:
    """Return the folder of Kafka's jars, which are fetched the first time and kept for the next."""
    pom = _POM.read_bytes()
    jars = _cache() / f"kafka-{hashlib.sha256(pom).hexdigest()[:12]}"
    if jars.exists():
        return jars
    maven = shutil.which("mvn")
    if maven is None:
        raise UnavailableError("Apache Kafka's jars are fetched by Maven (mvn); found none")
    _log.info("Fetching Apache Kafka (43 MB), this once.")
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent) as directory:
        fetched = Path(directory) / "jars"
        _fetch(maven, fetched)
        # Another process may have been quicker; its jars are as good.
        if not jars.exists():
            fetched.rename(jars)
    return jars


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "booking-credits"


def _fetch(maven: str, into: Path) -> None:
    goal = "dependency:copy-dependencies"
    command = [
        maven,
        "-q",
        "-B",
        "-Dstyle.color=never",
        "-f",
        str(_POM),
        goal,
        f"-DoutputDirectory={into}",
    ]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError("Maven took too long to fetch Apache Kafka") from error
    except subprocess.CalledProcessError as error:
        said = (error.stdout + error.stderr).strip().partition("\n")[0]
        raise UnavailableError(f"Maven could not fetch Apache Kafka: {said}") from error
