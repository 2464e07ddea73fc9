"""The images of the module: the same bytes every time, pushed to a real registry and pulled back, signed, with their bill of
materials, and pinned in the manifests."""

import base64
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from harness.gateway import die_with_the_parent, free_port
from harness.prometheus import until

ROOT = Path(__file__).resolve().parents[2]
REGISTRY = ROOT / "target/registry/usr/bin/docker-registry"
VERSION = "1.2.3"
ACCEPT = ", ".join(f"application/vnd.oci.image.{kind}.v1+json" for kind in ("manifest", "index"))
NO_SKOPEO = {**os.environ, "PATH": "/usr/bin:/bin"}


def run(*arguments, **more):
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False, cwd=ROOT, **more)


def done(*arguments, **more):
    result = run(*arguments, **more)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def sha256(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The images as `make image` makes them."""
    out = tmp_path_factory.mktemp("image")
    done(sys.executable, ".ci/image", os.environ["PORTCULLIS_WASM"], VERSION, out)
    done(sys.executable, ".ci/sbom", os.environ["PORTCULLIS_WASM"], out / "sbom.cdx.json")
    return out


def digest_of(images, kind="compat"):
    return json.loads((images / kind / "index.json").read_text())["manifests"][0]["digest"]


def test_the_same_module_gives_the_same_bytes_on_every_machine(images, tmp_path):
    copy = tmp_path / "elsewhere.wasm"
    copy.write_bytes(Path(os.environ["PORTCULLIS_WASM"]).read_bytes())
    environment = {**os.environ, "TZ": "Asia/Tokyo", "LANG": "C", "SOURCE_DATE_EPOCH": "1"}
    done(sys.executable, ".ci/image", copy, VERSION, tmp_path / "again", env=environment)
    for kind in ("compat", "artifact"):
        one, other = images / f"{kind}.tar", tmp_path / "again" / f"{kind}.tar"
        assert one.read_bytes() == other.read_bytes()


def test_the_bill_of_materials_names_what_is_linked_and_the_module_itself(images):
    document = json.loads((images / "sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    module = sha256(Path(os.environ["PORTCULLIS_WASM"]).read_bytes()).removeprefix("sha256:")
    product = document["metadata"]["component"]
    assert product["hashes"] == [{"alg": "SHA-256", "content": module}]
    references = [component["bom-ref"] for component in document["components"]]
    assert len(references) == len(set(references)) > 20
    known = {*references, product["bom-ref"]}
    assert {entry["ref"] for entry in document["dependencies"]} == known
    assert all(set(entry["dependsOn"]) <= known for entry in document["dependencies"])
    for component in document["components"]:
        assert component["licenses"] and re.fullmatch("[0-9a-f]{64}", component["hashes"][0]["content"])
        assert re.fullmatch(r"pkg:cargo/[\w-]+@[\w.+-]+", component["purl"])


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """A registry of Debian's on the loopback: HOST:PORT/NAME."""
    if not REGISTRY.exists():
        pytest.skip("NOT RUN: .ci/registry unpacks a registry")
    port, directory = free_port(), tmp_path_factory.mktemp("registry")
    configuration = {"version": "0.1", "log": {"level": "error"}, "http": {"addr": f"127.0.0.1:{port}"},
                     "storage": {"filesystem": {"rootdirectory": str(directory / "data")}}}
    (directory / "config.yml").write_text(yaml.safe_dump(configuration))
    server = subprocess.Popen([REGISTRY, "serve", directory / "config.yml"], stdout=subprocess.DEVNULL,
                              stderr=(directory / "log").open("wb"), preexec_fn=die_with_the_parent)
    try:
        assert until(lambda: get(f"127.0.0.1:{port}", "") is not None, 15), (directory / "log").read_text()
        yield f"127.0.0.1:{port}/team/portcullis"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def get(registry, path):
    """What a registry says to a GET, None where it says nothing good."""
    host, _, name = registry.partition("/")
    url = f"http://{host}/v2/{name + '/' if name else ''}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": ACCEPT}), timeout=10) as reply:
            return reply.read()
    except (urllib.error.URLError, OSError):
        return None


@pytest.fixture(scope="module")
def pushed(images, registry):
    """Both images and the bill of materials in the registry, and what `make push` printed."""
    places = [images / "compat", f"{registry}:{VERSION}", images / "artifact", f"{registry}:{VERSION}-artifact"]
    printed = done(sys.executable, ".ci/push", *places, env=NO_SKOPEO)
    done(sys.executable, ".ci/attach", images / "sbom.cdx.json", *places)
    return printed


@pytest.mark.parametrize("kind, tag", [("compat", VERSION), ("artifact", f"{VERSION}-artifact")])
def test_what_is_pulled_back_is_what_was_pushed(images, registry, pushed, kind, tag):
    digest = digest_of(images, kind)
    assert f"{registry}:{tag}@{digest}" in pushed
    by_tag, by_digest = get(registry, f"manifests/{tag}"), get(registry, f"manifests/{digest}")
    assert by_tag == by_digest and sha256(by_tag) == digest
    manifest = json.loads(by_tag)
    for part in [manifest["config"], *manifest["layers"]]:
        blob = get(registry, f"blobs/{part['digest']}")
        assert (sha256(blob), len(blob)) == (part["digest"], part["size"])
    if kind == "artifact":
        assert blob == Path(os.environ["PORTCULLIS_WASM"]).read_bytes()


def test_a_registry_that_is_not_there_is_said_in_one_line(images):
    nowhere = run(sys.executable, ".ci/push", images / "compat", f"127.0.0.1:{free_port()}/team/portcullis", env=NO_SKOPEO)
    assert nowhere.returncode and nowhere.stderr.startswith("push: HEAD http://127.0.0.1:")
    assert nowhere.stderr.endswith("Connection refused\n") and nowhere.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["compat", "artifact"])
def test_the_bill_of_materials_is_found_from_the_image(images, registry, pushed, kind):
    index = json.loads(get(registry, f"manifests/{digest_of(images, kind).replace(':', '-')}"))
    [referrer] = index["manifests"]
    manifest = json.loads(get(registry, f"manifests/{referrer['digest']}"))
    assert manifest["subject"]["digest"] == digest_of(images, kind)
    assert get(registry, f"blobs/{manifest['layers'][0]['digest']}") == (images / "sbom.cdx.json").read_bytes()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """(signing key, its public half, somebody else's)."""
    directory = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        done("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", directory / f"{name}.pem")
        done("openssl", "pkey", "-in", directory / f"{name}.pem", "-pubout", "-out", directory / f"{name}.pub")
    return directory / "own.pem", directory / "own.pub", directory / "other.pub"


def test_a_signature_is_found_where_cosign_looks_and_holds_under_its_own_key_only(images, registry, pushed, keys, tmp_path):
    key, public, other = keys
    done(sys.executable, ".ci/sign", key, images / "compat", f"{registry}:{VERSION}")
    digest = digest_of(images)
    manifest = json.loads(get(registry, f"manifests/{digest.replace(':', '-')}.sig"))
    [layer] = manifest["layers"]
    assert layer["mediaType"] == "application/vnd.dev.cosign.simplesigning.v1+json"
    payload = get(registry, f"blobs/{layer['digest']}")
    critical = json.loads(payload)["critical"]
    assert critical["image"] == {"docker-manifest-digest": digest}
    assert critical["identity"] == {"docker-reference": registry}
    assert critical["type"] == "cosign container image signature"
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "signature").write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
    verify = lambda by: run("openssl", "dgst", "-sha256", "-verify", by, "-signature", tmp_path / "signature", tmp_path / "payload")
    assert "Verified OK" in verify(public).stdout
    assert verify(other).returncode != 0


def test_what_was_not_pushed_or_has_no_fit_key_is_not_signed(images, registry, pushed, keys, tmp_path):
    missing = run(sys.executable, ".ci/sign", keys[0], images / "compat", registry.replace("team", "nobody"))
    assert missing.returncode and "push it first" in missing.stderr
    done("openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "other-kind.pem")
    refused = run(sys.executable, ".ci/sign", tmp_path / "other-kind.pem", images / "compat", f"{registry}:{VERSION}")
    assert refused.returncode and "P-256" in refused.stderr


ENVOY_IMAGE = "registry.example.com/envoy@sha256:" + "a" * 64


@pytest.fixture(scope="module")
def stamped(images, registry, tmp_path_factory):
    out = tmp_path_factory.mktemp("manifests")
    done(sys.executable, ".ci/stamp", images / "compat", VERSION, registry, ENVOY_IMAGE, out)
    return out


def test_manifests_name_images_by_digest(images, registry, pushed, stamped):
    pinned = f"{registry}@{digest_of(images)}"
    assert sha256(get(registry, f"manifests/{pinned.split('@')[1]}")) == digest_of(images)
    places = {"istio/portcullis.yaml": f"oci://{pinned}", "envoy-gateway/portcullis.yaml": pinned,
              "kubernetes/gateway.yaml": pinned, "kubernetes/user-service.yaml": pinned}
    for path in stamped.rglob("*.yaml"):
        text, name = path.read_text(), str(path.relative_to(stamped))
        assert "REGISTRY/" not in text.replace("REGISTRY/portcullis.", "") and ":VERSION" not in text, name
        if name in places:
            assert f"{places[name]}" in text
        images_of = re.findall(r"image: ([^{\s]+)$", text, re.M)
        assert all("@sha256:" in image or image == "APPLICATION_IMAGE" for image in images_of), images_of


def test_the_bootstraps_come_as_config_maps(stamped):
    documents = list(yaml.safe_load_all((stamped / "kubernetes/bootstraps.yaml").read_text()))
    for name, namespace in (("front-proxy", "gateway"), ("sidecar", "microservices")):
        [found] = [entry for entry in documents if entry["metadata"] == {"name": name, "namespace": namespace}]
        assert found["data"]["envoy.yaml"] == (ROOT / f"envoy/{name}/envoy.yaml").read_text()


@pytest.mark.parametrize("registry, envoy", [
    ("portcullis", ENVOY_IMAGE), ("registry.example.com/Portcullis", ENVOY_IMAGE),
    ("registry.example.com/portcullis", "registry.example.com/envoy:v1.40.0"),
])
def test_nothing_is_stamped_with_what_does_not_pin(images, tmp_path, registry, envoy):
    assert run(sys.executable, ".ci/stamp", images / "compat", VERSION, registry, envoy, tmp_path / "out").returncode
    assert not (tmp_path / "out").exists()
