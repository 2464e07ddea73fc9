"""Certificates that OpenSSL made, shown by clients that nobody here wrote, as a platform team would set them up."""

import shutil
import subprocess
import warnings

import pytest
import requests
from harness.configuration import plugin
from harness.gateway import HOST

NAME = "spiffe://cluster.local/ns/microservices/sa/order-service"
PLUGIN = plugin(f"""
authentication: {{ mtls: {{ trust_domains: [cluster.local] }} }}
routes:
  - match: {{ path: "/orders/**" }}
    authenticate: [mtls]
    allow: [{{ principals: ["{NAME}"] }}]
  - match: {{ path: "/**" }}
    authenticate: [mtls]
""")
pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl command here")


class Pki:
    """A root, an authority under it, and what that issues."""

    def __init__(self, directory, name="root"):
        self.directory = directory
        self.root = self.request(name, "rsa:2048")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-days", "30", "-out", f"{name}.pem",
                     "-extfile", self.extensions(name, "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign,cRLSign"))
        self.path = directory / f"{name}.pem"

    def issue(self, name, uri=None, key="rsa:2048", by=None, authority=False, usage="clientAuth", days=30):
        """A certificate by the root or by `by`; the file for a client holds the chain up to the root and the key."""
        by = by or self.root
        self.request(name, key)
        lines = ["basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=keyCertSign" if authority else f"extendedKeyUsage={usage}"]
        lines += [f"subjectAltName=URI:{uri}"] if uri else []
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
                     "-days", str(days), "-out", f"{name}.pem", "-extfile", self.extensions(name, "\n".join(lines)))
        parts = [f"{name}.pem", *([f"{by}.pem"] if by != self.root else []), f"{name}.key"]
        file = self.directory / f"{name}.client"
        file.write_text("".join((self.directory / part).read_text() for part in parts))
        return name if authority else str(file)

    def request(self, name, key):
        curve = ["ec", "-pkeyopt", f"ec_paramgen_curve:{key[3:]}"] if key.startswith("ec:") else [key]
        self.openssl("req", "-new", "-newkey", *curve, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj",
                     f"/O=Example/CN={name}")
        return name

    def extensions(self, name, text):
        (self.directory / f"{name}.ext").write_text(text + "\n")
        return f"{name}.ext"

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def gateway(start, pki):
    return start(PLUGIN, tls=True, client_ca=pki.path, require_client_certificate=True)


def get(gateway, target, certificate):
    with warnings.catch_warnings():
        # The gateway's own certificate is nobody's business here.
        warnings.simplefilter("ignore")
        return requests.get(f"https://127.0.0.1:{gateway.port}{target}", cert=certificate, verify=False,
                            headers={"host": HOST}, timeout=10)


@pytest.mark.parametrize("key", ["rsa:2048", "ec:prime256v1", "ec:secp384r1"])
def test_a_certificate_names_the_service_whatever_its_key(gateway, pki, key):
    answer = get(gateway, "/orders/1", pki.issue(f"orders-{key.replace(':', '-')}", NAME, key))
    assert answer.status_code == 200, answer.text
    sent = dict(answer.json()["headers"])
    assert (sent["x-auth-peer"], sent["x-auth-method"]) == (NAME, "mtls")


def test_an_authority_in_between_is_as_good(gateway, pki):
    between = pki.issue("between", authority=True)
    assert get(gateway, "/orders/1", pki.issue("by-between", NAME, by=between)).status_code == 200


def test_another_service_is_known_and_may_not(gateway, pki):
    other = pki.issue("other", NAME.replace("order", "other"))
    assert get(gateway, "/x", other).status_code == 200
    assert get(gateway, "/orders/1", other).status_code == 403


@pytest.mark.parametrize(("name", "uri"), [
    ("no-uri", None), ("web", "https://cluster.local/order-service"), ("foreign", NAME.replace("cluster.local", "example.org"))])
def test_a_certificate_without_an_identity_of_ours_is_refused(gateway, pki, name, uri):
    answer = get(gateway, "/x", pki.issue(name, uri))
    assert (answer.status_code, answer.json()["detail"]) == (403, "Invalid client certificate")


def test_certificates_of_others_get_no_connection(gateway, pki, tmp_path):
    made = {
        "another root": Pki(tmp_path, "root").issue("orders", NAME),
        "of a server": pki.issue("server", NAME, usage="serverAuth"),
        "issued by a client": None, "none": None,
    }
    pki.issue("client", NAME)
    made["issued by a client"] = pki.issue("by-client", NAME, by="client")
    for what, certificate in made.items():
        with pytest.raises(requests.exceptions.ConnectionError):
            assert not get(gateway, "/orders/1", certificate).status_code, what
