"""One upstream for all tests, one Envoy per plugin configuration."""

import os
from pathlib import Path

import pytest
from harness.dependency import Dependency
from harness.gateway import Gateway, last_words, running
from harness.upstream import Upstream


def pytest_configure(config):
    config.addinivalue_line("markers", "alone: measures time or memory, so that nothing else may run beside it")
    for name, what in (("PORTCULLIS_WASM", "the module"), ("ENVOY", "the Envoy binary")):
        path = os.environ.get(name, "")
        if not path or not Path(path).is_file():
            raise pytest.UsageError(f"{name} must be the path of {what}; it is {path!r}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """A test that failed shows what each Envoy said last that ran meanwhile: their logs go with them."""
    report = yield
    if report.failed:
        report.sections.extend((f"log of Envoy, process {proxy.process.pid}", last_words(proxy)) for proxy in running)
    return report


@pytest.fixture(scope="session")
def upstream():
    server = Upstream()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def no_answer_outlives_its_test(upstream):
    """The upstream is everybody's: what one test lets it answer must not reach the next, in whatever order files run."""
    yield
    upstream.scripted.clear()
    upstream.heads.clear()


@pytest.fixture(scope="module")
def dependency():
    """Starts services that the module calls, from the function that answers for them."""
    started = []

    def serve(answer):
        started.append(Dependency(answer))
        return started[-1]

    yield serve
    for service in started:
        service.close()


@pytest.fixture(scope="module")
def start(upstream):
    """Starts gateways that live as long as the test module; none of them may ever see the module die, or write an event
    that the published schema does not describe."""
    started = []

    def start(plugin, **options):
        gateway = Gateway(plugin, upstream, **options)
        started.append(gateway)
        return gateway

    yield start
    died = [line for gateway in started for line in gateway.trapped()]
    untrue = [problem for gateway in started for problem in gateway.lines_that_break_the_schema()]
    for gateway in started:
        gateway.close()
    assert not died, died
    assert not untrue, untrue[:5]


@pytest.fixture(scope="module")
def gateway(start, request):
    """The gateway under the configuration that the test module calls `PLUGIN`."""
    return start(request.module.PLUGIN, **getattr(request.module, "OPTIONS", {}))
