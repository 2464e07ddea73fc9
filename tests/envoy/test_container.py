"""The demo's Envoy in a container, the way a hardened deployment runs it: not root, nothing to write to."""

import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
import yaml
from harness.container import Process, granted, working_engine

ROOT = pathlib.Path(__file__).resolve().parents[2]
BOOTSTRAP = ROOT / "envoy/demo/envoy.yaml"
NAME = f"portcullis-test-{os.getpid()}"
START_SECONDS = 180


@pytest.fixture(scope="module")
def works():
    return working_engine()


@pytest.fixture(scope="module")
def engine(works):
    return works[0]


@pytest.fixture(scope="module")
def admin(engine):
    """The admin address of a running container; what the container prints goes to the test's own output."""
    address = yaml.safe_load(BOOTSTRAP.read_text())["admin"]["address"]["socket_address"]
    url = f"http://{address['address']}:{address['port_value']}"
    command = [ROOT / ".ci/container", BOOTSTRAP, "--name", NAME]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as container:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not is_live(url):
                assert container.poll() is None, "the container ended by itself"
                assert time.monotonic() < deadline, "Envoy did not start"
                time.sleep(0.2)
            yield url
        finally:
            container.send_signal(signal.SIGTERM)
            try:
                container.wait(15)
            except subprocess.TimeoutExpired:
                subprocess.run([*engine, "kill", NAME], check=False)


def is_live(url):
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=2) as answer:
            return answer.read().strip() == b"LIVE"
    except (urllib.error.URLError, OSError):
        return False


def test_the_module_runs_in_the_container(admin):
    with urllib.request.urlopen(f"{admin}/stats?filter=wasm.*active", timeout=5) as answer:
        active = dict(line.split(": ") for line in answer.read().decode().splitlines())
    assert int(active["wasm.envoy.wasm.runtime.v8.active"]) > 0, active


def test_envoy_is_not_root_and_may_not_become_it(engine, admin):
    status = Process(engine, NAME).status()
    assert set(status["Uid"].split()) == {"65532"}
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_the_root_of_the_container_is_read_only(engine, admin):
    mounts = (line.split() for line in Process(engine, NAME).read("mountinfo").splitlines())
    assert ["ro" in mount[5].split(",") for mount in mounts if mount[4] == "/"] == [True]


def test_memory_processors_and_processes_are_bounded_as_those_of_a_sidecar(works, admin):
    engine, limited = works
    if not limited:
        pytest.skip("NOT BOUNDED: this engine may not set up control groups")
    sidecar = yaml.safe_load((ROOT / "envoy/compose.yaml").read_text())["services"]["user-service"]
    assert Process(engine, NAME).limits() == granted(sidecar)


def test_the_whole_demo_passes_in_the_container(engine):
    command = [sys.executable, ROOT / "envoy/demo/demo.py", "--container"]
    demo = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert demo.returncode == 0, demo.stdout + demo.stderr
