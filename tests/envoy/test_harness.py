"""What the tests stand on."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from harness.gateway import kept_port

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


PORT = """
from harness.gateway import free_port
print(free_port())
"""


def test_a_port_that_is_kept_for_an_envoy_is_given_to_no_other_run():
    port, holder = kept_port()
    program = [sys.executable, "-c", PORT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
    given = lambda: int(subprocess.run(program, check=True, capture_output=True, env=environment).stdout)
    with holder, socket.socket() as envoy:
        assert given() != port
        envoy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        envoy.bind(("127.0.0.1", port))
        envoy.listen()
        assert given() != port


def test_nothing_stays_in_the_temporary_directory(tmp_path):
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {name: value for name, value in os.environ.items() if name != "KEEP_LOGS"}
    for program in (CERTIFICATE, DIRECTORY):
        subprocess.run([sys.executable, "-c", program.format(tmp_path)], check=True,
                       env={**environment, "TMPDIR": str(tmp_path), "PYTHONPATH": paths})
        assert not list(tmp_path.iterdir())
