"""Stores of secrets as their documented HTTP APIs behave: Vault KV v2, the Kubernetes API, AWS Secrets Manager.

Each holds values by name and answers requests for a [`Dependency`]; AWS's signature is verified by botocore's own signer.
"""

import base64
import datetime
import json
import re

from .dependency import Said

TOKEN = "store-token-of-the-tests-0123456789"
ACCESS_KEY, SECRET_KEY, SESSION = "AKIAOFTHETESTS", "secret/access+key/of/the/tests", "session/token+of/the/tests=="


class Vault:
    """KV version 2 mounted at `secret`: path -> list of versions; None is a deleted one."""

    def __init__(self, **secrets):
        self.versions = {name: [fields] for name, fields in secrets.items()}

    def write(self, name, fields):
        self.versions.setdefault(name, []).append(fields)

    def delete(self, name):
        self.versions[name].append(None)

    def __call__(self, asked):
        if asked.headers.get("x-vault-token") != TOKEN:
            return Said({"errors": ["permission denied"]}, 403)
        path = re.fullmatch(r"/v1/secret/data/([a-z-]+)", asked.target)
        if asked.method != "GET" or not path or path[1] not in self.versions:
            return Said({"errors": []}, 404)
        versions = self.versions[path[1]]
        deleted = "" if versions[-1] is not None else "2026-01-01T00:00:00.000000000Z"
        metadata = {"created_time": "2026-01-01T00:00:00.000000000Z", "custom_metadata": None, "deletion_time": deleted,
                    "destroyed": False, "version": len(versions)}
        body = {"request_id": "6f5a", "lease_id": "", "renewable": False, "lease_duration": 0, "wrap_info": None,
                "data": {"data": versions[-1], "metadata": metadata}, "warnings": None, "auth": None}
        return Said(body, 404 if deleted else 200)


class Kubernetes:
    """Secrets of the namespace `default`: name -> {key: value}."""

    def __init__(self, **secrets):
        self.secrets = secrets

    def __call__(self, asked):
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._status(401, "Unauthorized", "Unauthorized")
        path = re.fullmatch(r"/api/v1/namespaces/([a-z-]+)/secrets/([a-z-]+)", asked.target)
        if not path or path[1] != "default":
            message = 'secrets is forbidden: User "system:serviceaccount:default:envoy" cannot get resource "secrets"'
            return self._status(403, "Forbidden", message)
        if path[2] not in self.secrets:
            return self._status(404, "NotFound", f'secrets "{path[2]}" not found')
        data = {key: base64.b64encode(value.encode()).decode() for key, value in self.secrets[path[2]].items()}
        return Said({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": path[2], "namespace": "default"},
                     "data": data, "type": "Opaque"})

    @staticmethod
    def _status(code, reason, message):
        return Said({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                     "reason": reason, "code": code}, code)


class SecretsManager:
    """Texts by the id of the secret. What is not signed, or not as botocore signs it, is refused."""

    def __init__(self, **secrets):
        self.secrets = secrets

    def __call__(self, asked):
        if problem := self._unsigned(asked):
            return self._error("InvalidSignatureException", problem)
        if asked.headers.get("x-amz-target") != "secretsmanager.GetSecretValue":
            return self._error("InvalidAction", "no such action")
        name = json.loads(asked.body).get("SecretId")
        if name not in self.secrets:
            return self._error("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        return Said({"ARN": f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf", "Name": name,
                     "VersionId": "4a9c", "SecretString": self.secrets[name], "VersionStages": ["AWSCURRENT"],
                     "CreatedDate": 1767225600.0}, content_type="application/x-amz-json-1.1")

    @staticmethod
    def _error(kind, message):
        return Said({"__type": kind, "Message": message}, 400, "application/x-amz-json-1.1")

    @staticmethod
    def _unsigned(asked):
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        given = asked.headers.get("authorization", "")
        form = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                            r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})", given)
        if not form:
            return "Authorization is of another form"
        key, day, region, service, names, signature = form.groups()
        at = asked.headers.get("x-amz-date", "")
        age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.strptime(at + "+0000", "%Y%m%dT%H%M%SZ%z")
        if abs(age.total_seconds()) > 300 or not at.startswith(day):
            return "Signature expired"
        if (key, region, service) != (ACCESS_KEY, "eu-west-1", "secretsmanager"):
            return "Credential should be scoped to the service and region"
        if asked.headers.get("x-amz-security-token") != SESSION or asked.headers["host"] != HOST:
            return "The security token included in the request is invalid"
        if not {"host", "x-amz-date", "x-amz-security-token", "x-amz-target"} <= set(names.split(";")):
            return "Some headers must be signed"
        headers = {name: asked.headers[name] for name in names.split(";")}
        request = AWSRequest(asked.method, f"https://{HOST}{asked.target}", headers, asked.body)
        request.context["timestamp"] = at
        signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, SESSION), service, region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return None if signer.signature(text, request) == signature else "The request signature does not match"


HOST = "secretsmanager.eu-west-1.amazonaws.com"
ENVIRONMENT = {"STORE_TOKEN": TOKEN, "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
               "AWS_SESSION_TOKEN": SESSION}
