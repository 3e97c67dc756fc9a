import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import local

pytestmark = pytest.mark.slow

_DEPLOY = Path(local.__file__).parents[1]
_LAST_LINE = re.compile(
    r"demo: [1-9]\d* events in, [1-9]\d* entries, [1-9]\d* overages, 0 violations"
)


def test_the_day_plays_as_told(tmp_path: Path) -> None:
    """Every step of the demonstration has its effect, verify agrees, and it ends by itself."""
    ended = subprocess.run(
        [sys.executable, "-m", "local", "run", "--once"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(_DEPLOY)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert 0 == ended.returncode, ended.stdout + ended.stderr
    assert _LAST_LINE.fullmatch(ended.stdout.splitlines()[-1])
