"""`make demo` in a clean environment."""

import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_shows_every_step_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for shown in ("TASK [Write the configuration]", "rescued", "successful", "PLAY RECAP", "the signature is right"):
        assert shown in done.stdout
    assert list(tmp_path.iterdir()) == []
