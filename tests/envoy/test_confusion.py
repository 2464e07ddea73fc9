"""Path confusion: spellings by which a proxy and a service behind it have been made to see two resources, against a WSGI
server that decodes, as most frameworks stand on one."""

import posixpath
import socketserver
import threading
from urllib.parse import unquote
from wsgiref import simple_server

import pytest
from harness.configuration import plugin
from harness.credentials import bearer
from harness.gateway import Gateway

PLUGIN = plugin("""
routes:
  - match: { path: "/public/**" }
    authenticate: none
  - match: { path: "/admin/**" }
    allow: [{ roles: [admin] }]
  - match: { path: "/users/{id}", methods: [GET] }
    allow: [{ owner: { path: id, claim: user_id } }]
""")


class Wsgi:
    """The standard library's WSGI server: decodes the path; the application then does what careless ones do."""

    def __init__(self):
        self.by_marker, outer = {}, self

        def application(environ, respond):
            marker = environ.get("HTTP_X_MARKER", "").encode("latin-1")
            outer.by_marker[marker] = environ["PATH_INFO"]
            respond("200 OK", [("content-type", "text/plain")])
            return [b""]

        class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
            daemon_threads = True
            request_queue_size = 128

        class Handler(simple_server.WSGIRequestHandler):
            def log_message(self, *_):
                pass

        self.server = simple_server.make_server("127.0.0.1", 0, application, Server, Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def readings(path):
    """What an application may take a decoded path for: decoded again, without parameters, with the other slashes, with
    dot segments resolved, in lower case, up to the first NUL."""
    found = {path}
    for _ in range(3):
        for known in list(found):
            found |= {
                unquote(known),
                known.replace("\\", "/"),
                "/".join(part.split(";")[0] for part in known.split("/")),
                known.split("\0")[0].split("?")[0].split("#")[0],
                posixpath.normpath(known),
                "/" + posixpath.normpath(known).lstrip("/"),
                known.rstrip(" ./\t") or "/",
                known.replace("/.json", "").replace(".json", ""),
            }
    return {reading.lower() for reading in found}


@pytest.fixture(scope="module")
def service():
    server = Wsgi()
    yield server
    server.close()


@pytest.fixture(scope="module")
def gateway(service):
    gateway = Gateway(PLUGIN, service)
    yield gateway
    assert not gateway.trapped()
    gateway.close()


# One line per trick: dot segments plain, encoded once and twice, in overlong UTF-8 and in other scripts' dots and slashes;
# slashes of other systems; parameters; double slashes; NUL and what cuts a path short; absolute targets; letters' case.
CONFUSIONS = [
    "/public/../admin/users", "/public/./../admin/users", "/public/a/../../admin/users", "/public/..//admin/users",
    "/public/%2e%2e/admin/users", "/public/%2E%2E/admin/users", "/public/.%2e/admin/users", "/public/%2e./admin/users",
    "/public/%252e%252e/admin/users", "/public/%25252e%25252e/admin/users", "/public/%25%32%65%25%32%65/admin/users",
    "/public/..%2fadmin/users", "/public/..%2Fadmin/users", "/public/%2e%2e%2fadmin/users", "/public%2f..%2fadmin/users",
    "/public/..%252fadmin/users", "/public/%2e%2e%252fadmin/users", "/public/..%c0%afadmin/users", "/public/%c0%ae%c0%ae/admin/users",
    "/public/%e0%80%ae%e0%80%ae/admin/users", "/public/..%ef%bc%8fadmin/users", "/public/..%e2%81%84admin/users",
    "/public/..\\admin\\users", "/public\\..\\admin\\users", "/public/..%5cadmin%5cusers", "/public/..%5Cadmin", "/public/..%255cadmin",
    "/public/..;/admin/users", "/public/..;a=b/admin/users", "/public/.;/../admin/users", "/public/%2e%2e;/admin/users",
    "/public;/../admin/users", "/public/..%3b/admin/users", "/public/..%3B/admin/users", "/public/;/../admin/users",
    "//admin/users", "///admin//users", "/public//../admin/users", "/./admin/users", "/.//admin/users", "/public/../../admin/users",
    "/admin%2fusers", "/admin%252fusers", "/admin;/users", "/admin;x=1/users", "/admin/;/users", "/admin/%2e/users", "/admin/./users",
    "/admin/users%00", "/admin%00/users", "/public/%00/../admin/users", "/admin/users%2500", "/public/a%00/../../admin",
    "/admin/users%20", "/admin%20/users", "/admin/users%09", "/admin/users/.", "/admin/users/..", "/admin/users/", "/admin/users//",
    "/admin/users?x=/public/", "/admin/users%3f/public/a", "/admin/users%23/public/a", "/admin/users%3Fx", "/public/..%3f/admin",
    "/%61dmin/users", "/%41dmin/users", "/ad%6din/users", "/%2561dmin/users", "/adm%69n/users", "/ADMIN/users", "/Admin/Users",
    "/admin/users.json", "/admin.json", "/admin/users%2ejson", "/public/%2e%2e%5cadmin", "/public/%5c..%5c..%5cadmin",
    "http://api.example.com/public/../admin/users", "http://api.example.com/admin/users", "http://other.example.com//admin/users",
    "/users/42/../43", "/users/42%2f..%2f43", "/users/42;/../43", "/users/42%2f43", "/users/43%00", "/users/%34%33", "/users/42%252f..%252f43",
    "/users/42/..;/43", "/users/42\\..\\43", "/users/./43", "/users//43", "/users/43/", "/users/43;x", "/users/42%23/../43",
    "/public/%u002e%u002e/admin/users", "/public/%%32%65%%32%65/admin/users", "/public/%2/../admin/users", "/public/..%/admin/users",
    "/public/%uff0e%uff0e/admin/users", "/public/.../admin/users", "/public/....//admin/users", "/public/..%0d%0a/admin/users",
]


@pytest.mark.parametrize("target", CONFUSIONS)
def test_no_spelling_reaches_what_the_caller_may_not_have(gateway, target):
    for headers in ([], [bearer(roles=["user"], user_id="42")]):
        reached = gateway.get(target, headers).upstream
        if reached is None:
            continue
        for reading in readings(reached):
            parts = [part for part in reading.split("/") if part]
            assert parts[:1] != ["admin"], (target, reached)
            assert parts[:1] != ["users"] or parts[1:] == ["42"], (target, reached)


def test_the_service_gets_the_path_that_was_decided_on(gateway):
    admin = [bearer(roles=["admin"])]
    for sent, reached in [
        ("/public/a%20b", "/public/a b"),
        ("/%70ublic/./a", "/public/a"),
        ("/admin/x/../users", "/admin/users"),
        ("//admin///users/", "/admin/users/"),
    ]:
        assert gateway.get(sent, admin).upstream == reached, sent
