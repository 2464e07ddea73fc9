"""Containers on this machine: the engine that works here, and what the kernel says of one that runs."""

import json
import subprocess
from pathlib import Path

import pytest

CONTAINER = Path(__file__).parents[3] / ".ci/container"
GROUPS = Path("/sys/fs/cgroup")


def working_engine():
    """The engine, and whether it keeps limits of memory, processors and processes; skips the test where none works."""
    found = subprocess.run([CONTAINER, "--engine"], capture_output=True, text=True, check=False)
    if found.returncode == 77:
        pytest.skip(f"NOT RUN IN A CONTAINER: {found.stderr.strip()}")
    assert found.returncode == 0, found.stderr
    works = json.loads(found.stdout)
    return works["engine"], bool(works["limits"])


class Process:
    """The first process of the container of this name."""

    def __init__(self, engine, name):
        self.pid = subprocess.check_output([*engine, "inspect", "--format", "{{.State.Pid}}", name], text=True).strip()

    def read(self, name):
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def status(self):
        return dict(line.split(":\t", 1) for line in self.read("status").splitlines() if ":\t" in line)

    def limits(self):
        """Bytes of memory, microseconds of CPU in a tenth of a second, processes: what its control groups grant."""
        return (self._granted("memory", "memory.limit_in_bytes", "memory.max"),
                self._granted("cpu", "cpu.cfs_quota_us", "cpu.max"), self._granted("pids", "pids.max", "pids.max"))

    def _granted(self, controller, version_1, version_2):
        """Of version 1 a controller's file, of version 2 the one of all."""
        groups = [line.split(":") for line in self.read("cgroup").splitlines()]
        own = {name: path for _, names, path in groups for name in names.split(",")}
        path = (controller, own[controller], version_1) if controller in own else ("", own[""], version_2)
        return int((GROUPS / path[0] / path[1].lstrip("/") / path[2]).read_text().split()[0])


def granted(service):
    """The same of a service of a compose file."""
    size, unit = service["mem_limit"][:-1], service["mem_limit"][-1]
    return int(size) << {"m": 20, "g": 30}[unit], int(service["cpus"] * 100_000), service["pids_limit"]
