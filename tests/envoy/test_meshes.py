"""The documents for Istio and Envoy Gateway: the same policy as everywhere, and what they make of Envoy's configuration, in real
Envoy. No control plane runs here: what it would do with each field is written down in `istio` and `envoy_gateway`."""

import json
import os

import pytest
import yaml
from harness.configuration import merged
from harness.credentials import bearer
from harness.dependency import eventually
from harness.directory import Directory
from harness.gateway import cluster, free_port, typed
from harness.shipped import ENVOY, Running, call

POLICIES = {name: yaml.safe_load((ENVOY / f"policies/{name}.yaml").read_text()) for name in ("edge", "inbound", "outbound")}


def every(path):
    return [document for document in yaml.safe_load_all((ENVOY / path).read_text()) if document]


def documents(path):
    return {document["kind"]: document for document in every(path)}


ISTIO, GATEWAY = documents("istio/portcullis.yaml"), documents("envoy-gateway/portcullis.yaml")


def plugins(node):
    """Every plugin configuration of a bootstrap, in its order."""
    if isinstance(node, dict):
        if node.get("@type", "").endswith("google.protobuf.Struct"):
            yield node["value"]
        node = list(node.values())
    for entry in node if isinstance(node, list) else ():
        yield from plugins(entry)


def test_every_document_carries_the_same_policy():
    held_by_the_buffer_filter = POLICIES["edge"] | {"bodies": {"hold": "buffer_filter"}}
    assert ISTIO["WasmPlugin"]["spec"]["pluginConfig"] == held_by_the_buffer_filter
    [wasm] = GATEWAY["EnvoyExtensionPolicy"]["spec"]["wasm"]
    assert wasm["config"] == held_by_the_buffer_filter
    bootstraps = {name: yaml.safe_load((ENVOY / name / "envoy.yaml").read_text()) for name in ("front-proxy", "sidecar")}
    assert list(plugins(bootstraps["front-proxy"])) == [POLICIES["edge"]]
    assert list(plugins(bootstraps["sidecar"])) == [POLICIES["inbound"], POLICIES["outbound"]]


def module(configuration, variables, failure_policy):
    return typed("portcullis", "envoy.extensions.filters.http.wasm.v3.Wasm", {"config": {
        "name": "portcullis", "failure_policy": failure_policy,
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": os.environ["PORTCULLIS_WASM"]}},
                      "environment_variables": {"host_env_keys": variables}},
        "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(configuration)},
    }})


def manager(filters, **settings):
    return settings | {
        "stat_prefix": "gateway", "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]}]}}


ROUTER = typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router", {})


def envoy(port, admin_port, upstream_port, settings, bootstrap=None, listener=None):
    kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    ingress = {
        "name": "gateway", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [typed("envoy.filters.network.http_connection_manager", kind, settings)]}]}
    admin = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin_port}}}
    http1 = {"explicit_http_config": {"http_protocol_options": {}}}
    return merged({
        "node": {"id": "gateway", "cluster": "gateway"}, "admin": admin,
        "static_resources": {"listeners": [merged(ingress, listener or {})], "clusters": [cluster("upstream", upstream_port, http1)]},
    }, bootstrap or {})


# What istiod calls the filter of a WasmPlugin, from 1.26 and from 1.30 on; a name that no patch knows is for what comes after.
PLUGIN_NAMES = ("extensions.istio.io/wasmplugin/gateway.portcullis",
                "extensions.istio.io/trafficextension/gateway.portcullis~istio-translated-wasmplugin")


def istio(port, admin_port, upstream_port, name=PLUGIN_NAMES[-1]):
    """What Istio makes of the WasmPlugin and the EnvoyFilter: the plugin before filters of its own and the router, then each
    patch in its order. Istio's own connection manager has other defaults: paths are normalised, a client's X-Forwarded-For counts."""
    plugin = ISTIO["WasmPlugin"]["spec"]
    assert all(variable["valueFrom"] == "HOST" for variable in plugin["vmConfig"]["env"])
    variables = [variable["name"] for variable in plugin["vmConfig"]["env"]]
    wasm = module(plugin["pluginConfig"], variables, plugin["failStrategy"]) | {"name": name}
    filters = [wasm, typed("envoy.filters.http.fault", "envoy.extensions.filters.http.fault.v3.HTTPFault", {}), ROUTER]
    settings = manager(filters, use_remote_address=True, normalize_path=True)
    bootstrap, listener = {}, {}
    for entry in ISTIO["EnvoyFilter"]["spec"]["configPatches"]:
        patch = entry["patch"]
        match entry["applyTo"], patch["operation"]:
            case "HTTP_FILTER", "INSERT_BEFORE" | "INSERT_AFTER" as operation:
                inner = entry["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"]
                names = [each["name"] for each in settings["http_filters"]]
                if inner in names:
                    at = names.index(inner) + (operation == "INSERT_AFTER")
                    settings["http_filters"].insert(at, patch["value"])
            case "NETWORK_FILTER", "MERGE":
                value = {name: part for name, part in patch["value"]["typed_config"].items() if name != "@type"}
                settings = merged(settings, value)
            case "LISTENER", "MERGE":
                listener = merged(listener, patch["value"])
            case "BOOTSTRAP", "MERGE":
                bootstrap = merged(bootstrap, patch["value"])
            case other:
                raise AssertionError(f"{other} is not known here")
    return envoy(port, admin_port, upstream_port, settings, bootstrap, listener)


def filters_of(bootstrap):
    [listener] = bootstrap["static_resources"]["listeners"]
    return [each["name"] for each in listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]]


@pytest.mark.parametrize("name", PLUGIN_NAMES)
def test_nothing_stands_between_the_plugin_of_istio_and_the_filter_that_holds_heads(name):
    metadata = ISTIO["WasmPlugin"]["metadata"]
    assert f"/{metadata['namespace']}.{metadata['name']}" in name
    assert filters_of(istio(1, 2, 3, name))[:3] == [name, "envoy.filters.http.buffer", "envoy.filters.http.fault"]


def test_heads_are_held_before_the_router_where_istio_calls_the_plugin_by_another_name():
    assert filters_of(istio(1, 2, 3, "other"))[-2:] == ["envoy.filters.http.buffer", "envoy.filters.http.router"]


def access_log(settings):
    assert settings["sinks"] == [{"type": "File", "file": {"path": "/dev/stdout"}}] and settings["format"]["type"] == "JSON"
    return typed("envoy.access_loggers.stdout", "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
                 {"log_format": {"json_format": settings["format"]["json"]}})


def envoy_gateway(port, admin_port, upstream_port):
    """What Envoy Gateway makes of the four documents. A client's address is its connection's by default."""
    [wasm] = GATEWAY["EnvoyExtensionPolicy"]["spec"]["wasm"]
    client, proxy = GATEWAY["ClientTrafficPolicy"]["spec"], GATEWAY["EnvoyProxy"]["spec"]
    assert wasm["failOpen"] is False
    assert proxy["filterOrder"] == [{"name": "envoy.filters.http.buffer", "after": "envoy.filters.http.wasm"}]
    size = {"Ki": 1 << 10, "Mi": 1 << 20}
    octets = lambda text: int(text[:-2]) * size[text[-2:]]
    buffer = typed("envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer", {
        "max_request_bytes": octets(GATEWAY["BackendTrafficPolicy"]["spec"]["requestBuffer"]["limit"])})
    filters = [module(wasm["config"], wasm["env"]["hostKeys"], "FAIL_CLOSED"), buffer, ROUTER]
    settings = manager(
        filters, use_remote_address=True, normalize_path=True, merge_slashes=not client["path"]["disableMergeSlashes"],
        path_with_escaped_slashes_action={"KeepUnchanged": "KEEP_UNCHANGED"}[client["path"]["escapedSlashesAction"]],
        common_http_protocol_options={
            "headers_with_underscores_action": {"RejectRequest": "REJECT_REQUEST"}[client["headers"]["withUnderscoresAction"]]},
        http2_protocol_options={
            "max_concurrent_streams": client["http2"]["maxConcurrentStreams"],
            "initial_stream_window_size": octets(client["http2"]["initialStreamWindowSize"]),
            "initial_connection_window_size": octets(client["http2"]["initialConnectionWindowSize"])},
        access_log=[access_log(line) for line in proxy["telemetry"]["accessLog"]["settings"]])
    listener = {"per_connection_buffer_limit_bytes": octets(client["connection"]["bufferLimit"])}
    variables = proxy["provider"]["kubernetes"]["envoyDeployment"]["container"]["env"]
    assert set(wasm["env"]["hostKeys"]) <= {variable["name"] for variable in variables}
    return envoy(port, admin_port, upstream_port, settings, yaml.safe_load(proxy["bootstrap"]["value"]), listener)


@pytest.fixture(scope="module", params=[istio, envoy_gateway], ids=lambda platform: platform.__name__)
def platform(request, upstream):
    port, admin_port = free_port(), free_port()
    bootstrap = request.param(port, admin_port, upstream.port)
    proxy = Running(bootstrap, Directory(), admin_port)
    proxy.send = lambda *arguments, **more: call(port, None, *arguments, **more)
    yield proxy
    proxy.close()


def post(platform, text, rows=1):
    body = json.dumps({"rows": ["a row of a long letter, " * 10] * rows, "comment": text}).encode()
    headers = [bearer(user_id=f"m{rows}", roles=["manager"]), ("content-type", "application/json")]
    return platform.send("POST", "/api/v1/users", headers, body)


def test_the_policy_is_in_force(platform):
    assert platform.send(target="/api/v1/users/7").status == 401
    assert platform.send(target="/api/v1/users/7", headers=[bearer()]).status == 200
    assert platform.send(target="/admin/x", headers=[bearer()]).status == 403


def test_a_body_is_judged_before_the_service_hears_of_it(platform, upstream):
    assert post(platform, "nothing", rows=3_000).status == 200
    before = len(upstream.seen)
    assert post(platform, "1' UNION SELECT login, secret FROM staff-- ", rows=3_001).status == 403
    assert len(upstream.seen) == before


def test_heads_that_lie_are_refused(platform):
    assert platform.send(headers=[("x_auth_subject", "1")]).status == 400
    answer = platform.send(target="/public/..%2fadmin")
    assert answer.status == 400 and answer.problem["detail"] == "The request is malformed"


def test_envoy_gateway_logs_every_request_without_what_may_hold_a_token(platform, request):
    if request.node.callspec.params["platform"] is not envoy_gateway:
        pytest.skip("the documents for Istio set no access log")
    shown = {"?access_token=secret": "/public/logged", ";jsessionid=secret": "-", "%3faccess_token=secret": "-"}
    for hidden in shown:
        platform.send(target="/public/logged" + hidden)
    logged = lambda: [line["path"] for line in platform.lines() if line["path"] in ("/public/logged", "-")]
    assert eventually(lambda: len(logged()) >= len(shown)), platform.lines()
    assert logged() == list(shown.values())
    assert "secret" not in platform.output.read_text()


def test_a_client_does_not_choose_its_address(platform):
    answer = platform.send(target="/api/v1/users/7", headers=[("x-forwarded-for", "10.9.9.9")])
    lines = [line for line in platform.log().splitlines() if answer.problem["request_id"] in line]
    assert lines and all('"ip_address":"127.0.0.1"' in line for line in lines)


def test_metrics_have_their_labels(platform):
    assert platform.send(target="/api/v1/users/7").status == 401
    assert 'auth_failures_total{service="api-gateway",reason="missing"}' in platform.admin("/stats/prometheus")


def allowed(app, source, method, path, port="8000"):
    """Whether Istio's policies of the services' namespace let a request to `app` pass: none that denies, one that allows. A path
    ends in `*` or is exact; what a rule does not say is anything."""
    ours = [document["spec"] for document in every("istio/portcullis.yaml") if document["kind"] == "AuthorizationPolicy"]
    chosen = [policy for policy in ours if policy.get("selector", {}).get("matchLabels", {}).get("app", app) == app]
    assert all(policy.get("action", "ALLOW") == "ALLOW" for policy in chosen) and chosen
    fits = lambda wanted, value: any(value.startswith(entry[:-1]) if entry.endswith("*") else value == entry for entry in wanted)

    def meets(operation):
        return (fits(operation.get("ports", ["*"]), port) and fits(operation.get("methods", ["*"]), method)
                and fits(operation.get("paths", ["*"]), path))

    return any(
        any(source in entry["source"]["principals"] for entry in rule["from"]) and any(meets(entry["operation"]) for entry in rule["to"])
        for policy in chosen for rule in policy.get("rules", []))


EDGE, ORDERS, USERS = ("cluster.local/ns/" + name for name in (
    "gateway/sa/api-gateway", "microservices/sa/order-service", "microservices/sa/user-service"))


@pytest.mark.parametrize("app, source, method, path, expected", [
    ("user-service", EDGE, "GET", "/api/v1/users/7", True), ("user-service", EDGE, "PATCH", "/api/v1/users/7", False),
    ("user-service", EDGE, "GET", "/internal/users/7", False), ("user-service", ORDERS, "GET", "/internal/users/7", True),
    ("user-service", ORDERS, "GET", "/api/v1/users/7", False), ("user-service", "cluster.local/ns/default/sa/x", "GET", "/health", False),
    ("order-service", USERS, "GET", "/orders/7", True), ("order-service", ORDERS, "GET", "/orders/7", False),
    ("payment-service", ORDERS, "POST", "/payments", True), ("payment-service", EDGE, "POST", "/payments", False),
    ("another-app", EDGE, "GET", "/health", False),
])
def test_istio_lets_in_whom_the_sidecars_policy_lets_in(app, source, method, path, expected):
    assert allowed(app, source, method, path) == expected


def test_workloads_speak_mutual_tls_only_and_check_tokens_again():
    assert ISTIO["PeerAuthentication"]["spec"] == {"mtls": {"mode": "STRICT"}}
    assert ISTIO["PeerAuthentication"]["metadata"]["namespace"] == "microservices"
    [rule] = ISTIO["RequestAuthentication"]["spec"]["jwtRules"]
    assert rule["jwksUri"].startswith("https://") and rule["audiences"] and rule["forwardOriginalToken"] is False
