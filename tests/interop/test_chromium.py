"""Chromium against the module: what pages of other origins make it send, what reaches the upstream, what they may read."""

import json
import subprocess
import threading

import pytest
from counterpart import INTEROP
from harness.configuration import plugin
from harness.credentials import token
from harness.dependency import eventually
from harness.gateway import die_with_the_parent, end

PLUGIN = plugin("""
headers:
  security: off
  cors: { origins: ["https://app.example.com:PORT", "https://reader.example.com:PORT"], methods: [DELETE],
          headers: [content-type], credentials: allow }
  csrf: { origins: ["https://app.example.com:PORT"] }
  cookies: { same_site: none }
routes:
  - { match: { path: "/public/**" }, authenticate: none }
  - match: { path: "/admin/**" }
    allow: [{ roles: [admin] }]
  - { match: { path: "/**" } }
""")

# Logs in, so that the browser holds the cookie, then does as `steps` says and tells its own site what it saw of each.
PAGE = """<!doctype html><meta name="referrer" content="REFERRER"><body><script>
const api = "https://api.example.com:PORT", seen = {};
async function read(name, path, options) {
  try {
    const answer = await fetch(api + path, {credentials: "include", ...options});
    const text = answer.type == "opaque" ? "" : await answer.text();
    let detail = "";
    try { detail = JSON.parse(text).detail || ""; } catch {}
    seen[name] = [answer.type, answer.status, detail];
  } catch (error) { seen[name] = [error.name, 0, ""]; }
}
function submit(name, path) {
  return new Promise(done => {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    frame.name = name;
    frame.onload = () => { if (form.submitted) { seen[name] = ["form", 0, ""]; done(); } };
    Object.assign(form, {method: "post", action: api + path, target: name});
    document.body.append(frame, form);
    form.submitted = true;
    form.submit();
  });
}
function connect(name, path) {
  return new Promise(done => {
    const socket = new WebSocket(api.replace("https", "wss") + path);
    socket.onopen = socket.onerror = event => { seen[name] = [event.type, 0, ""]; done(); };
  });
}
(async () => {
  await fetch(api + "/public/login", {mode: "no-cors", credentials: "include"});
  STEPS
  await fetch("/public/seen", {method: "POST", body: JSON.stringify(seen)});
})();
</script>"""

JSON = '{method: "POST", headers: {"content-type": "application/json"}, body: "{}"}'


@pytest.fixture(scope="module")
def gateway(start):
    return start(lambda port: json.loads(json.dumps(PLUGIN).replace("PORT", str(port))), tls=True, upgrades=["websocket"])


@pytest.fixture
def visit(gateway, upstream, tmp_path):
    def login(seen, send):
        send(b"HTTP/1.1 200 OK\r\nset-cookie: access_token=%s; Path=/\r\ncontent-length: 0\r\n\r\n" % token().encode())
        return True

    upstream.scripted[b"/public/login"] = login

    def visit(host, steps, referrer="origin"):
        """What a page at `host` sees of its steps, and the requests beside its own that reached the upstream."""
        text = PAGE.replace("STEPS", steps).replace("PORT", str(gateway.port)).replace("REFERRER", referrer).encode()

        def page(seen, send):
            send(b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))
            return True

        told, done = [], threading.Event()

        def tell(seen, send):
            told.append(json.loads(seen.body))
            send(b"HTTP/1.1 204 No Content\r\n\r\n")
            done.set()
            return True

        upstream.scripted[b"/public/page"], upstream.scripted[b"/public/seen"] = page, tell
        before, log = len(upstream.seen), tmp_path / "log"
        browser = subprocess.Popen(
            [INTEROP / "chromium" / "chromium", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors",
             "--host-resolver-rules=MAP * 127.0.0.1", f"--user-data-dir={tmp_path}", "--remote-debugging-port=0",
             f"https://{host}:{gateway.port}/public/page"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log.open("wb"), preexec_fn=die_with_the_parent,
        )
        try:
            assert eventually(lambda: done.is_set() or browser.poll() is not None, 120) and done.is_set(), log.read_text()[-2000:]
        finally:
            end(browser)
        reached = [seen for seen in upstream.seen[before:] if not seen.target.startswith((b"/public/", b"/favicon"))]
        return told[0], [(seen.method.decode(), seen.target.decode()) for seen in reached]

    return visit


def test_a_page_of_another_site_changes_nothing_and_reads_nothing(gateway, visit):
    seen, reached = visit("evil.example.net", """
      await read("get", "/things/get");
      await read("blind", "/things/blind", {method: "POST", mode: "no-cors", body: "a=b"});
      await read("delete", "/things/delete", {method: "DELETE"});
      await submit("form", "/things/form");
      await connect("socket", "/things/socket");
    """)
    # The cookie was there: reading went through, and only the browser keeps the answer from the page.
    assert reached == [("GET", "/things/get")]
    assert seen["get"][0] == seen["delete"][0] == "TypeError"
    assert seen["blind"][0] == "opaque"
    assert seen["socket"][0] == "error"
    refused = [event["details"] for event in gateway.logged_events() if event["details"].get("rule") == "headers.csrf"]
    assert sorted((details["path"], details["reason"]) for details in refused) == [
        ("/things/blind", "cross_origin"), ("/things/form", "cross_origin"), ("/things/socket", "cross_origin")]
    assert {details["user"] for details in refused} == {"42"}


def test_a_trusted_page_acts_and_reads_answers_and_refusals(visit):
    seen, reached = visit("app.example.com", f"""
      await read("get", "/things/get");
      await read("post", "/things/post", {JSON});
      await read("delete", "/things/delete", {{method: "DELETE"}});
      await read("forbidden", "/admin/1", {JSON});
      await read("anonymous", "/things/anonymous", {{credentials: "omit"}});
      await read("unlisted", "/things/unlisted", {{method: "PUT"}});
      await submit("form", "/things/form");
    """)
    assert reached == [("GET", "/things/get"), ("POST", "/things/post"), ("DELETE", "/things/delete"),
                       ("POST", "/things/form")]
    assert [seen[name][:2] for name in ("get", "post", "delete")] == [["cors", 200]] * 3
    assert seen["forbidden"] == ["cors", 403, "You may not do this"]
    assert seen["anonymous"] == ["cors", 401, "Authentication required"]
    # The preflight was answered and did not name PUT.
    assert seen["unlisted"][0] == "TypeError"


def test_a_page_that_may_only_read_reads_why_it_may_not_act(visit):
    seen, reached = visit("reader.example.com", f"""
      await read("get", "/things/get");
      await read("post", "/things/post", {JSON});
    """)
    assert reached == [("GET", "/things/get")]
    assert seen["get"][:2] == ["cors", 200]
    assert seen["post"] == ["cors", 403, "The request does not come from a page that may send it"]


@pytest.mark.parametrize("referrer", ["origin", "no-referrer"])
def test_our_own_page_acts_even_where_it_hides_its_origin(visit, referrer):
    seen, reached = visit("api.example.com", f"""
      await read("post", "/things/post", {JSON});
      await submit("form", "/things/form");
    """, referrer)
    assert reached == [("POST", "/things/post"), ("POST", "/things/form")]
    assert seen["post"][:2] == ["basic", 200]
