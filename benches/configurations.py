"""What is measured: Envoy's own chain of filters, and configurations of Portcullis."""

import json

from clients import get
from tokens import AUDIENCE, ISSUER, JWKS, hs256

# What every chain must refuse, and what only inspection does, each with the status.
UNKNOWN = {get(): 401, get(bearer=hs256(1)[:-4] + b"AAAA"): 401}
ATTACK = {get("/api/v1/users?q=1'%20or%20'1'='1", bearer=hs256(1)): 403}


def typed(name, kind, value):
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{kind}", **value}}


def native_chain(*algorithms, cache=False, paths=({"prefix": "/"},)):
    """What an operator would write without Portcullis: jwt_authn, rbac on the token's roles, local_ratelimit.

    `paths` are matches of paths, each with a rule of its own in jwt_authn and a policy of its own in rbac.
    """
    keys = {"keys": [key for key in JWKS["keys"] if key["alg"] in algorithms]}
    provider = {"issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"inline_string": json.dumps(keys)},
                "payload_in_metadata": "payload", "forward": False,
                **({"jwt_cache_config": {"jwt_cache_size": 1000}} if cache else {})}
    roles = {"filter": "envoy.filters.http.jwt_authn", "path": [{"key": "payload"}, {"key": "roles"}],
             "value": {"list_match": {"one_of": {"string_match": {"exact": "user"}}}}}
    policies = {f"users-{at}": {"permissions": [{"url_path": {"path": path}}], "principals": [{"metadata": roles}]}
                for at, path in enumerate(paths)}
    return [
        typed("envoy.filters.http.jwt_authn", "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
              {"providers": {"users": provider},
               "rules": [{"match": rule(path), "requires": {"provider_name": "users"}} for path in paths]}),
        typed("envoy.filters.http.rbac", "envoy.extensions.filters.http.rbac.v3.RBAC",
              {"rules": {"policies": policies}}),
        typed("envoy.filters.http.local_ratelimit", "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
              {"stat_prefix": "limit", "filter_enabled": share(100), "filter_enforced": share(100),
               "token_bucket": {"max_tokens": 10**9, "tokens_per_fill": 10**9, "fill_interval": "60s"}}),
    ]


def rule(path):
    """A match of a path as jwt_authn spells it."""
    return {"path" if kind == "exact" else kind: value for kind, value in path.items()}


def share(percent):
    return {"default_value": {"numerator": percent, "denominator": "HUNDRED"}}


def buffer_filter():
    return [typed("envoy.filters.http.buffer", "envoy.extensions.filters.http.buffer.v3.Buffer",
                  {"max_request_bytes": 4 << 20})]


def provider(algorithms, **more):
    return {"issuer": ISSUER, "audiences": [AUDIENCE], "algorithms": algorithms,
            "claims": {"subject": "user_id", "roles": "roles", "type": "type"}, **more}


def full(jwt=None, routes=(), **more):
    """The whole pipeline: token, role, address and user windows with burst, inspection, identity and RateLimit headers."""
    return {
        "service": "user-service",
        "secrets": {"jwt_secret": {"env": "JWT_SECRET_KEY"}},
        "authentication": {"unverified_credentials": "10000000/m",
                           "jwt": {"users": jwt or provider(["HS256"], keys=[{"secret": "jwt_secret"}])}},
        "limits": {"per_address": {"key": ["client_ip"], "rate": "900000000/h"},
                   "per_user": {"key": ["subject"], "rate": "900000000/h", "burst": "1000000/s"}},
        "headers": {"security": "strict", "rate_limit": "draft", "https_redirect": False},
        "routes": [*routes, {"match": {"path": "/api/**"}, "authenticate": ["jwt"], "allow": [{"roles": ["user"]}],
                             "limits": ["per_address", "per_user"]}],
        **more,
    }


def route(plugin, **entry):
    """`plugin`, with one route of these settings."""
    headers = entry.pop("headers", {})
    entry = {"match": {"path": "/api/**"}, "authenticate": ["jwt"], **entry}
    return {**full(), **plugin, "headers": {**plugin["headers"], **headers}, "routes": [entry]}


def bodies(**inspection):
    """Nothing but the inspection of a body."""
    return {"headers": {"security": "off", "rate_limit": "off"},
            **({"inspection": inspection} if inspection else {}),
            "routes": [{"match": {"path": "/api/**"}, "authenticate": "none"}]}


def portcullis(plugin, module):
    configuration = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": json.dumps(plugin)}
    return [typed("envoy.filters.http.wasm", "envoy.extensions.filters.http.wasm.v3.Wasm", {"config": {
        "name": "portcullis", "failure_policy": "FAIL_RELOAD", "allow_on_headers_stop_iteration": True,
        "vm_config": {"vm_id": "portcullis", "runtime": "envoy.wasm.runtime.v8",
                      "code": {"local": {"filename": str(module)}},
                      "environment_variables": {"host_env_keys": ["JWT_SECRET_KEY", "FIELD_KEY"]}},
        "configuration": configuration,
    }})]
