"""The set-up of envoy/compose.yaml: confined as it says, and where there is a container engine, the front proxy under its very
settings."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from harness.container import Process, granted, working_engine
from harness.directory import Directory
from harness.gateway import HOST, free_port
from harness.prometheus import is_ready
from harness.shipped import ENVOY, GATEWAY, SECRETS, Mesh, call, localised, tls

COMPOSE = yaml.safe_load((ENVOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PROXIES = {"front-proxy": "front-proxy", "user-service": "sidecar"}
NAME = f"portcullis-compose-{os.getpid()}"


@pytest.mark.parametrize("name", SERVICES)
def test_containers_are_confined(name):
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) >= 10_000
    assert service["mem_limit"] and service["cpus"] and service["pids_limit"]
    assert "privileged" not in service and "devices" not in service and service.get("network_mode") != "host"
    mounts = [volume for volume in service.get("volumes", []) if not volume.startswith("prometheus:")]
    assert all(volume.endswith(":ro") for volume in mounts), mounts
    assert re.fullmatch(r"\$\{[A-Z_]+:\?.*\}", service["image"])


def test_only_the_front_proxy_is_reached_from_outside():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"front-proxy": ["443:8443", "80:8080"]}
    assert COMPOSE["networks"]["mesh"]["internal"] is True
    assert [name for name, service in SERVICES.items() if "public" in service.get("networks", [])] == ["front-proxy"]
    assert SERVICES["application"]["network_mode"] == "service:user-service"


@pytest.mark.parametrize("name, bootstrap", PROXIES.items())
def test_a_proxy_has_the_files_names_and_variables_of_its_bootstrap(name, bootstrap):
    service, text = SERVICES[name], (ENVOY / bootstrap / "envoy.yaml").read_text()
    sources, places = zip(*(re.fullmatch(r"(.*):(/[^:]+):ro", volume).groups() for volume in service["volumes"]))
    assert f"./{bootstrap}/envoy.yaml" in sources and service["command"][1] in places
    for file in set(re.findall(r"filename: (/[^ }]+)", text)):
        assert file in places or str(Path(file).parent) in places, file
    for source in sources:
        if source.startswith("./"):
            assert (ENVOY / source).exists()
    named = set(re.findall(r"[A-Z_]+", " ".join(re.findall(r"host_env_keys: \[(.*)\]", text))))
    assert named == set(service["environment"])
    assert service["environment"] == {variable: f"${{{variable}:?}}" for variable in named}


def test_the_names_that_the_proxies_call_are_there():
    aliases = SERVICES["user-service"]["networks"]["mesh"]["aliases"]
    assert f"address: {aliases[0]}, port_value: 8000" in (ENVOY / "front-proxy/envoy.yaml").read_text()
    scraped = yaml.safe_load((ENVOY / "monitoring/prometheus.yaml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    assert {target.removesuffix(":9902") for target in scraped} == set(PROXIES)
    mounted = SERVICES["prometheus"]["volumes"]
    assert all((ENVOY / volume.split(":")[0]).exists() for volume in mounted if volume.startswith("./"))


# The engine's image is everybody's.
@pytest.mark.alone
def test_the_front_proxy_runs_under_the_settings_of_its_container():
    """With other limits of open files than the machine grants, and on its network: the rest is what the file says."""
    engine, limited = working_engine()
    service, mesh, owned = SERVICES["front-proxy"], Mesh(), Directory()
    directory = owned.path
    mesh.files(directory, GATEWAY)
    (directory / "module/plugin.wasm").unlink()
    own = ("127.0.0.1:9901", "0.0.0.0:8080", "0.0.0.0:8443", "0.0.0.0:9902")
    ports = {address: free_port() for address in own}
    elsewhere = {"user-service.microservices.svc.cluster.local:8000": free_port()}
    bootstrap = localised((ENVOY / "front-proxy/envoy.yaml").read_text(), "/etc/portcullis", ports | elsewhere)
    (directory / "envoy.yaml").write_text(json.dumps(bootstrap))
    subprocess.run(["chmod", "-R", "a+rX", directory], check=True)
    # Where the file's sources are on this machine, by the places where the container finds them.
    found = {"/etc/portcullis/bootstrap/envoy.yaml": directory / "envoy.yaml", "/etc/portcullis/public": directory / "public",
             "/etc/portcullis/module/plugin.wasm": os.environ["PORTCULLIS_WASM"], "/etc/portcullis/mesh": directory / "mesh"}
    places = [volume.split(":")[-2] for volume in service["volumes"]]
    command = [
        *engine, "run", "--rm", "--name", NAME, "--network", "host", "--read-only", "--user", service["user"],
        *(part for name in service["cap_drop"] for part in ("--cap-drop", name)),
        *(part for name in service["security_opt"] for part in ("--security-opt", name.removesuffix(":true"))),
        "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096",
        *(("--memory", service["mem_limit"], "--cpus", str(service["cpus"]), "--pids-limit", str(service["pids_limit"]))
          if limited else ()),
        *(part for place in places for part in ("--volume", f"{found[place]}:{place}:ro")),
        *(part for name in service["environment"] for part in ("--env", f"{name}={SECRETS[name]}")),
        "--entrypoint", service["entrypoint"][0], "localhost/portcullis-envoy:demo", *service["command"]]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as container:
        try:
            deadline = time.monotonic() + 180
            while not is_ready(f"http://127.0.0.1:{ports['0.0.0.0:9902']}/ready"):
                assert container.poll() is None, container.stderr.read()
                assert time.monotonic() < deadline, "Envoy did not start"
                time.sleep(0.2)
            answer = call(ports["0.0.0.0:8443"], tls(mesh.public), target="/api/v1/users/7", host=HOST)
            assert answer.status == 401 and answer.problem["detail"] == "Authentication required"
            process = Process(engine, NAME)
            status = process.status()
            assert set(status["Uid"].split()) == {"65532"} and int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1"
            assert not limited or process.limits() == granted(service)
        finally:
            subprocess.run([*engine, "kill", NAME], check=False, capture_output=True)
