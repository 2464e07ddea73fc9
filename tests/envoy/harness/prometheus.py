"""A real Prometheus with the rules that are shipped, at short intervals."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

from .directory import Directory
from .gateway import die_with_the_parent, end, free_port, wait_for
from .shipped import ENVOY

BINARIES = ENVOY.parent / "target/prometheus/usr/bin"
MONITORING = ENVOY / "monitoring"


class Prometheus:
    """Scrapes `targets` (name in the shipped configuration: port of the loopback) every second."""

    def __init__(self, targets):
        self.port, self._directory = free_port(), Directory()
        self.directory = self._directory.path
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())
        configuration["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        [job] = configuration["scrape_configs"]
        [group] = job["static_configs"]
        job["static_configs"] = [
            {"targets": [f"127.0.0.1:{targets[name]}"], "labels": {"instance": name}} for name in group["targets"]]
        (self.directory / "prometheus.yaml").write_text(json.dumps(configuration))
        shutil.copy(MONITORING / "rules.yaml", self.directory)
        self.log_file = self.directory / "log"
        self.process = subprocess.Popen(
            [BINARIES / "prometheus", f"--config.file={self.directory}/prometheus.yaml",
             f"--storage.tsdb.path={self.directory}/data", f"--web.listen-address=127.0.0.1:{self.port}"],
            stdout=subprocess.DEVNULL, stderr=self.log_file.open("wb"), preexec_fn=die_with_the_parent)
        try:
            wait_for(self._is_ready, 120, "Prometheus", self)
        except BaseException:
            self.close()
            raise

    def close(self):
        end(self.process)
        self._directory.remove()

    def log(self):
        return self.log_file.read_text(errors="replace")

    def query(self, expression):
        """The vector that a query gives now: [(labels, value)]."""
        return [(line["metric"], float(line["value"][1])) for line in self._get("query", query=expression)["result"]]

    def firing(self):
        """The names of the alerts that fire."""
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}

    def scraped(self):
        """How often every target was read at least."""
        return min((value for _, value in self.query("count_over_time(up[10m]) unless up == 0")), default=0)

    def _get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=60) as reply:
            answer = json.load(reply)
        assert answer["status"] == "success", answer
        return answer["data"]

    def _is_ready(self):
        return is_ready(f"{self.url}/-/ready")


def is_ready(url):
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def promtool(*arguments, directory=MONITORING):
    return subprocess.run([BINARIES / "promtool", *arguments], cwd=directory, capture_output=True, text=True, check=False)


def until(condition, seconds):
    """Waits until `condition` gives something that counts as true, and gives that; or what it gave last."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
