"""The plugin configuration that the tests start from; each says on top of it only what it is about."""

import copy

import yaml

from .credentials import jwk
from .gateway import own_addresses

# The tests' own connections come by as those of a trusted proxy, so that X-Forwarded-For says who the client is.
PROXIES = [f"{address}/32" for address in own_addresses()]

BASE = f"""
service: user-service
client_ip: {{ trusted_proxies: {PROXIES} }}
secrets:
  jwt_secret: {{ env: JWT_SECRET_KEY }}
  service_key: {{ env: SERVICE_SECRET_KEY }}
  order_token: {{ env: ORDER_SERVICE_TOKEN }}
authentication:
  unverified_credentials: 100000/m
  jwt:
    users:
      issuer: https://auth.example.com
      audiences: [microservices-api]
      algorithms: [HS256]
      keys: [{{ secret: jwt_secret }}]
      from:
        - {{ header: authorization, prefix: "Bearer " }}
        - {{ cookie: access_token }}
        - {{ query: access_token }}
      claims: {{ subject: user_id, roles: roles, scopes: scope, type: type, active: is_active }}
      type: access
      clock_skew: 5s
      max_lifetime: 1h
roles: {{ admin: [manager], manager: [user] }}
events: {{ sample: 10000/s }}
defaults: {{ authenticate: [jwt] }}
unmatched: deny
"""


def plugin(text):
    """BASE with the settings of `text` over it: maps are merged, everything else is replaced."""
    return merged(yaml.safe_load(BASE), yaml.safe_load(text))


def merged(under, over):
    result = copy.deepcopy(under)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def inline_jwks(*keys):
    """A key set of `(algorithm, kid)` pairs, as flow YAML."""
    return yaml.safe_dump({"keys": [jwk(*key) for key in keys]}, default_flow_style=True, width=10_000).strip()
