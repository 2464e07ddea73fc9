"""What the tests stand on."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CERTIFICATE = """
from harness.certificates import Authority
kept = Authority().issue("spiffe://cluster.local/a")
assert kept.path.exists() and kept.path.is_relative_to("{0}")
"""
DIRECTORY = """
from harness.directory import Directory
owned = Directory()
(owned.path / "file").touch()
owned.remove()
assert not owned.path.exists()
Directory()
"""


def test_nothing_stays_in_the_temporary_directory(tmp_path):
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if name != "KEEP_LOGS"}
    for program in (CERTIFICATE, DIRECTORY):
        subprocess.run([sys.executable, "-c", program.format(tmp_path)], check=True,
                       env={**environment, "TMPDIR": str(tmp_path), "PYTHONPATH": paths})
        assert not list(tmp_path.iterdir())
