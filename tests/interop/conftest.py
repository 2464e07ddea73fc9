"""What the tests of the module in real Envoy stand on, and the counterparts that nobody here wrote."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ENVOY_TESTS = Path(__file__).parents[1] / "envoy"
sys.path.insert(0, str(ENVOY_TESTS))
specification = importlib.util.spec_from_file_location("envoy_conftest", ENVOY_TESTS / "conftest.py")
envoy_conftest = importlib.util.module_from_spec(specification)
specification.loader.exec_module(envoy_conftest)
# Fixtures are found by name in here.
dependency, start, upstream = envoy_conftest.dependency, envoy_conftest.start, envoy_conftest.upstream
pytest_runtest_makereport = envoy_conftest.pytest_runtest_makereport


def pytest_configure(config):
    envoy_conftest.pytest_configure(config)
    if not (Path(os.environ.get("INTEROP", "")) / "bin" / "node").exists():
        raise pytest.UsageError("INTEROP must be the directory that .ci/interop fills")


@pytest.fixture(scope="module")
def run():
    """Starts counterparts that live as long as the test module."""
    from counterpart import Counterpart

    started = []

    def run(*command, **options):
        started.append(Counterpart(command, **options))
        return started[-1]

    yield run
    for counterpart in started:
        counterpart.close()
