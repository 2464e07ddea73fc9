"""A program that the module is held against, in a process of its own."""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from harness.directory import Directory
from harness.gateway import die_with_the_parent

INTEROP = Path(os.environ["INTEROP"]).resolve()
NODE = INTEROP / "bin" / "node"
HERE = Path(__file__).parent


class Counterpart:
    """Starts at once and waits until `ready`, a function of it, holds; `close` ends it.

    A Python program finds the packages of .ci/interop beside those of the tests, and what lies beside this file.
    """

    def __init__(self, command, *, ready, environment=None):
        self._directory = Directory("interop-")
        self.directory = self._directory.path
        self.output_file, self.log_file = self.directory / "output", self.directory / "log"
        packages = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(INTEROP / "python"), str(HERE)]))
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=self.output_file.open("wb"), stderr=self.log_file.open("wb"), preexec_fn=die_with_the_parent,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": packages, "PYTHONDONTWRITEBYTECODE": "1",
                 "PYTHONUNBUFFERED": "1", **(environment or {})},
        )
        deadline = time.monotonic() + 90
        while not ready(self):
            if self.process.poll() is not None or time.monotonic() > deadline:
                log = "\n".join(self.log().splitlines()[-25:])
                self.close()
                raise AssertionError(f"{command} does not serve (exit code {self.process.returncode})\n{log}")
            time.sleep(0.05)

    def output(self):
        return self.output_file.read_text()

    def log(self):
        return self.log_file.read_text()

    def close(self):
        """Ends this very process."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._directory.remove()


def answers(url):
    """Whether anything speaks HTTP there."""
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
