"""A certified OpenID provider: its published keys, its access tokens of both kinds, their end, and its keys' rotation."""

import base64
import hashlib
import re
import threading
import time
from urllib.parse import parse_qs, quote_plus, urljoin, urlsplit

import jwt
import pytest
import requests
from counterpart import HERE, INTEROP, NODE
from harness.configuration import plugin
from harness.credentials import bearer, tampered
from harness.dependency import eventually
from harness.expect import passed, refused, unauthenticated

CALLBACK = "https://app.example.com/callback"
CACHE = 2


class OpenId:
    """A client of the provider, which knows nothing of it but its issuer."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.discovery = requests.get(f"{issuer}/.well-known/openid-configuration", timeout=10).json()
        self.port = urlsplit(issuer).port

    def machine(self, resource=None, scope="orders.read"):
        """An access token of `machine`: opaque, or a JWT for a resource."""
        form = {"grant_type": "client_credentials", "scope": scope, **({"resource": resource} if resource else {})}
        return self._token(form, ("machine", "machine-secret"))

    def person(self, name, resource=None, scope="openid email profile orders.read"):
        """An access token of somebody who signs in and consents in a browser: authorization code with PKCE."""
        verifier = "v" * 64
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        wanted = {"resource": resource} if resource else {}
        asked = {"client_id": "application", "response_type": "code", "redirect_uri": CALLBACK, "scope": scope,
                 "code_challenge": challenge, "code_challenge_method": "S256", **wanted}
        browser = requests.Session()
        answer = browser.get(self.discovery["authorization_endpoint"], params=asked, allow_redirects=False, timeout=10)
        for _ in range(12):
            location = urljoin(answer.url, answer.headers.get("location", answer.url))
            if location.startswith(CALLBACK):
                code = parse_qs(urlsplit(location).query)["code"][0]
                form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK,
                        "code_verifier": verifier, **wanted}
                return self._token(form, ("application", "application-secret"))
            answer = browser.get(location, allow_redirects=False, timeout=10)
            if answer.status_code == 200:
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)[1]
                action = urljoin(location, re.search(r'action="([^"]+)"', answer.text)[1])
                filled = {"prompt": prompt, **({"login": name, "password": "any"} if prompt == "login" else {})}
                answer = browser.post(action, data=filled, allow_redirects=False, timeout=10)
        raise AssertionError(answer.text)

    def revoke(self, token, client=("machine", "machine-secret")):
        answer = requests.post(self.discovery["revocation_endpoint"], data={"token": token}, auth=client, timeout=10)
        assert answer.status_code == 200, answer.text

    def turn(self, how):
        """`publish` a new pair of keys, `sign` with it, or `withdraw` all others; which there are then."""
        return requests.post(f"{self.issuer}/test/keys/{how}", timeout=10).json()

    def _token(self, form, client):
        answer = requests.post(self.discovery["token_endpoint"], data=form, auth=client, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]


def configuration(openid, opaque, refresh="300s"):
    """Opaque tokens without a prefix belong to one provider, and so there is one gateway for each."""
    found = openid.discovery
    introspection = f"""introspection: {{ cluster: idp, uri: "{found["introspection_endpoint"]}", client_id: "port cullis",
                        client_secret: {{ secret: oauth_client }} }}"""
    kinds = {
        "machines": f"{introspection}\n      claims: {{ subject: client_id, scopes: scope, roles: roles }}",
        "people": f"{introspection}\n      claims: {{ subject: sub, scopes: scope }}",
        "profiles": f"""userinfo: {{ cluster: idp, uri: "{found["userinfo_endpoint"]}" }}
      claims: {{ subject: email, username: preferred_username }}""",
    }
    return plugin(f"""
secrets: {{ oauth_client: {{ env: OAUTH_CLIENT_SECRET }} }}
authentication:
  jwt:
    idp:
      issuer: {openid.issuer}
      audiences: [microservices-api]
      algorithms: [ES256, RS256]
      jwks: {{ cluster: idp, uri: "{found["jwks_uri"]}", refresh: {refresh} }}
      claims: {{ subject: sub, roles: roles, scopes: scope }}
  oauth2:
    {opaque}:
      {kinds[opaque]}
      cache: {CACHE}s
routes:
  - match: {{ path: "/opaque/**" }}
    authenticate: [oauth2]
  - match: {{ path: "/named/{{name}}" }}
    authenticate: [oauth2]
    allow: [{{ owner: {{ path: name, claim: username }} }}]
  - match: {{ path: "/robots/**" }}
    authenticate: [oauth2]
    allow: [{{ scopes: [orders.read], roles: [robot] }}]
  - match: {{ path: "/write/**" }}
    authenticate: [jwt.idp]
    allow: [{{ scopes: [orders.write] }}]
  - match: {{ path: "/users/**" }}
    authenticate: [jwt.idp]
    allow: [{{ roles: [user] }}]
  - match: {{ path: "/**" }}
    authenticate: [jwt.idp]
""")


@pytest.fixture(scope="module")
def openid(run):
    process = run(NODE, HERE / "provider.mjs", INTEROP / "provider", ready=lambda process: process.output().endswith("\n"))
    return OpenId(process.output().strip())


@pytest.fixture(scope="module")
def serve(start, openid):
    """The gateway whose opaque tokens are of this kind, started once."""
    started = {}

    def serve(opaque, secret="s3cret:/with+odd%characters", **options):
        key = opaque, secret, *options.items()
        if key not in started:
            started[key] = start(configuration(openid, opaque, **options), clusters={"idp": openid.port},
                                 environment={"OAUTH_CLIENT_SECRET": secret})
        return started[key]

    return serve


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_access_tokens_are_verified_by_the_keys_that_discovery_names(serve, openid, algorithm):
    gateway = serve("machines")
    resource = f"urn:api:{algorithm}"
    machine = openid.machine(resource)
    assert jwt.get_unverified_header(machine)["alg"] == algorithm
    seen = passed(gateway.get("/x", [bearer(machine)]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-roles")) == ("machine", "robot")
    person = openid.person("ann", resource)
    seen = passed(gateway.get("/users/1", [bearer(person)]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-roles")) == ("ann", "user")
    refused(gateway.get("/users/1", [bearer(machine)]), 403)

    refused(gateway.get("/write/1", [bearer(machine)]), 403)
    passed(gateway.get("/write/1", [bearer(openid.machine(resource, "orders.read orders.write"))]))
    unauthenticated(gateway, "bad_signature", lambda: gateway.get("/x", [bearer(tampered(machine, sub="root"))]))


def test_an_opaque_token_is_introspected_with_the_clients_credentials(serve, openid):
    machine, gateway = openid.machine(), serve("machines")
    assert "." not in machine
    seen = passed(gateway.get("/robots/1", [bearer(machine)]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-method")) == ("machine", "oauth2")
    refused(gateway.get("/robots/1", [bearer(openid.machine(scope="orders.write"))]), 403)
    unauthenticated(gateway, "inactive", lambda: gateway.get("/robots/1", [bearer("made-up-by-somebody")]))
    refused(gateway.get("/x", [bearer(machine)]), 401)

    people = serve("people", refresh="1s")
    assert passed(people.get("/opaque/1", [bearer(openid.person("ann"))])).header("x-auth-subject") == "ann"
    # A client's own token has no `sub`.
    unauthenticated(people, "no_subject", lambda: people.get("/opaque/1", [bearer(machine)]))


def test_without_the_right_secret_nothing_is_learnt_of_a_token(serve, openid):
    gateway = serve("machines", "guessed")
    unauthenticated(gateway, "unavailable", lambda: gateway.get("/robots/1", [bearer(openid.machine())]))


def test_userinfo_says_who_somebody_is(serve, openid):
    gateway, ann = serve("profiles"), openid.person("ann")
    seen = passed(gateway.get("/named/ann", [bearer(ann)]))
    assert (seen.header("x-auth-subject"), seen.header("x-auth-method")) == ("ann@example.com", "oauth2")
    refused(gateway.get("/named/bob", [bearer(ann)]), 403)
    for anonymous in [openid.person("bob"), openid.person("ann", scope="openid")]:
        unauthenticated(gateway, "no_subject", lambda: gateway.get("/named/bob", [bearer(anonymous)]))
    unauthenticated(gateway, "inactive", lambda: gateway.get("/named/ann", [bearer("made-up-by-somebody")]))


@pytest.mark.parametrize(("kind", "who"), [("machines", None), ("profiles", "ann")])
def test_a_revoked_token_is_refused_after_the_time_that_answers_are_kept(serve, openid, kind, who):
    gateway, token, target = serve(kind), openid.person(who) if who else openid.machine(), "/opaque/1"
    for _ in range(8):
        passed(gateway.get(target, [bearer(token)]))
    openid.revoke(token, ("application", "application-secret") if who else ("machine", "machine-secret"))
    revoked = time.monotonic()
    assert eventually(lambda: gateway.get(target, [bearer(token)]).status == 401, CACHE + 3)
    time.sleep(max(0.0, revoked + CACHE + 0.5 - time.monotonic()))
    assert {gateway.get(target, [bearer(token)]).status for _ in range(8)} == {401}


def test_keys_rotate_without_a_single_refused_good_token(serve, openid):
    gateway = serve("people", refresh="1s")
    resources, refusals, sent, stop = ["urn:api:ES256", "urn:api:RS256"], [], [], threading.Event()

    def caller(resource):
        while not stop.is_set():
            token = openid.machine(resource)
            for _ in range(3):
                status = gateway.get("/x", [bearer(token)]).status
                sent.append(jwt.get_unverified_header(token)["kid"])
                if status != 200:
                    refusals.append((sent[-1], status))

    old = openid.machine(resources[0])
    callers = [threading.Thread(target=caller, args=(resource,)) for resource in resources]
    for thread in callers:
        thread.start()
    try:
        for _ in range(2):
            # A new key signs at the moment it is published: nobody had the time to fetch it.
            openid.turn("publish")
            openid.turn("sign")
            time.sleep(2)
    finally:
        stop.set()
        for thread in callers:
            thread.join(30)
    assert not refusals, refusals[:3]
    assert len(set(sent)) >= 6, "two algorithms, three keys each"

    passed(gateway.get("/x", [bearer(old)]))
    openid.turn("withdraw")
    assert eventually(lambda: {gateway.get("/x", [bearer(old)]).status for _ in range(6)} == {401}, 15)
    passed(gateway.get("/x", [bearer(openid.machine(resources[0]))]))
