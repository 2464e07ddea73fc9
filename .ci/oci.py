"""What the scripts about OCI images share: a registry over the OCI distribution protocol, and how documents are written."""
import base64
import hashlib
import json
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def encoded(value):
    """JSON with the same bytes every time."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def digest(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def descriptor(media_type, blob, **more):
    return {"mediaType": media_type, "digest": digest(blob), "size": len(blob)} | more


def parsed(reference):
    """(host, name, tag) of HOST[:PORT]/NAME[:TAG]; without one the tag is `latest`."""
    match = re.fullmatch(r"([^/]+)/([a-z0-9][a-z0-9._/-]*)(?::([\w][\w.-]{0,127}))?", reference)
    if not match:
        sys.exit(f"{reference} is not HOST[:PORT]/NAME[:TAG]")
    return match[1], match[2], match[3] or "latest"


def pairs(arguments):
    """LAYOUT REFERENCE [LAYOUT REFERENCE ...] as pairs."""
    return list(zip(arguments[::2], arguments[1::2]))


def described(layout):
    """The descriptor of an image layout's manifest."""
    [found] = json.loads((layout / "index.json").read_text())["manifests"]
    return {key: found[key] for key in ("mediaType", "digest", "size")}


def is_local(host):
    return re.fullmatch(r"(localhost|127\.[\d.]+|\[::1\])(:\d+)?", host) is not None


class Registry:
    """One repository of one registry, over the OCI distribution protocol."""

    def __init__(self, host, name):
        self.base = f"{'http' if is_local(host) else 'https'}://{host}/v2/{name}/"
        self.authorization = None

    def call(self, method, path, body=None, content_type="application/octet-stream", retry=True):
        headers = {"Accept": f"{MANIFEST}, */*"} | ({"Content-Type": content_type} if body is not None else {})
        url = urllib.parse.urljoin(self.base, path)
        # An upload may be sent elsewhere; the credentials stay with the registry.
        if self.authorization and urllib.parse.urlsplit(url).netloc == urllib.parse.urlsplit(self.base).netloc:
            headers["Authorization"] = self.authorization
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.headers
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return error.code, error.headers
            if error.code != 401 or not retry:
                sys.exit(f"push: {method} {url}: {error.code} {error.read(300).decode(errors='replace')}")
            self.authorization = self.authorize(error.headers.get("WWW-Authenticate", ""))
            return self.call(method, path, body, content_type, retry=False)
        except OSError as error:
            sys.exit(f"push: {method} {url}: {getattr(error, 'reason', error)}")

    @staticmethod
    def authorize(challenge):
        user, password = os.environ.get("REGISTRY_USER"), os.environ.get("REGISTRY_PASSWORD")
        basic = user and password and "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        if not challenge.lower().startswith("bearer "):
            return basic or sys.exit("push: the registry asks for REGISTRY_USER and REGISTRY_PASSWORD")
        parts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        query = urllib.parse.urlencode({key: parts[key] for key in ("service", "scope") if key in parts})
        headers = {"Authorization": basic} if basic else {}
        realm = parts.get("realm", "")
        if not realm.startswith("https://") and not is_local(urllib.parse.urlsplit(realm).netloc):
            sys.exit("push: the registry sends its credentials' check to an address without TLS")
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{realm}?{query}", headers=headers), timeout=60) as response:
                answer = json.load(response)
        except OSError as error:
            sys.exit(f"push: {realm}, where the registry has credentials checked: {error}")
        return "Bearer " + (answer.get("token") or answer["access_token"])

    def put_blob(self, blob):
        if self.call("HEAD", f"blobs/{digest(blob)}")[0] == 200:
            return
        location = self.call("POST", "blobs/uploads/", b"")[1]["Location"]
        self.call("PUT", f"{location}{'&' if '?' in location else '?'}digest={urllib.parse.quote(digest(blob))}", blob)

    def put_manifest(self, reference, manifest, media_type=MANIFEST):
        self.call("PUT", f"manifests/{reference}", manifest, media_type)

    def has(self, reference):
        return self.call("HEAD", f"manifests/{reference}")[0] == 200
