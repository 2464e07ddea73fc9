"""AWS Secrets Manager as moto plays it, with its access control on: signatures are verified and policies count."""

import json
import sys

import botocore.session
import pytest
from counterpart import answers
from harness.configuration import plugin
from harness.credentials import bearer, token
from harness.dependency import eventually
from harness.expect import passed, refused
from harness.gateway import free_port

REGION = "eu-west-1"
KEYS = [f"key-{n}-of-the-tests-in-secrets-manager-0123456789" for n in range(2)]


def configuration():
    made = plugin("""
authentication: { jwt: { elsewhere: { issuer: https://elsewhere.example.com, algorithms: [HS256], keys: [{ secret: elsewhere }] } } }
routes: [{ match: { path: "/**" } }]
""")
    stored = {"cluster": "aws", "region": REGION, "secret_id": "prod/jwt", "field": "key",
              "access_key_id": {"env": "AWS_ACCESS_KEY_ID"}, "secret_access_key": {"env": "AWS_SECRET_ACCESS_KEY"}}
    made["secrets"] = {
        **made["secrets"],
        "jwt_secret": {"aws_secrets_manager": stored, "refresh": "1s"},
        # The same name in another region is another secret, which nobody has stored.
        "elsewhere": {"aws_secrets_manager": {**stored, "region": "us-east-1"}, "refresh": "1s"},
    }
    return made


class Aws:
    """An account of moto's: a user who may read secrets, and one who may do nothing."""

    def __init__(self, port):
        self.port = port
        people = self.client("iam", "testing", "testing")
        self.reader = self.user(people, "reader", {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"})
        self.nobody = self.user(people, "nobody", {"Effect": "Deny", "Action": "*", "Resource": "*"})
        writer = self.user(people, "writer", {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"})
        self.secrets = self.client("secretsmanager", *writer)
        self.secrets.create_secret(Name="prod/jwt", SecretString=json.dumps({"key": KEYS[0]}))

    def client(self, service, key, secret):
        return botocore.session.Session().create_client(
            service, region_name=REGION, endpoint_url=f"http://127.0.0.1:{self.port}",
            aws_access_key_id=key, aws_secret_access_key=secret)

    @staticmethod
    def user(people, name, statement):
        people.create_user(UserName=name)
        people.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [statement]}))
        made = people.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def enforce(self):
        """From now on every request is authenticated and authorised."""
        import requests

        assert requests.post(f"http://127.0.0.1:{self.port}/moto-api/reset-auth", data=b"0", timeout=10).status_code == 200


@pytest.fixture(scope="module")
def aws(run):
    port = free_port()
    run(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port,
        ready=lambda _: answers(f"http://127.0.0.1:{port}/moto-api/"))
    made = Aws(port)
    made.enforce()
    return made


@pytest.fixture(scope="module")
def serve(start, aws):
    def serve(key, secret):
        return start(configuration(), clusters={"aws": aws.port},
                     environment={"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret})

    return serve


def accepts(gateway, key):
    return all(gateway.get("/x", [bearer(key=key)]).status == 200 for _ in range(8))


def told(gateway, reason, secret="jwt_secret"):
    return [event for event in gateway.logged_events() if
            (event["details"].get("reason"), event["details"].get("dependency")) == (reason, f"secrets.{secret}")]


def test_moto_refuses_what_is_not_signed_right(aws):
    """What the other tests rest on."""
    key, secret = aws.reader
    assert KEYS[0] in aws.client("secretsmanager", key, secret).get_secret_value(SecretId="prod/jwt")["SecretString"]
    for wrong in [(key, secret + "x"), aws.nobody]:
        with pytest.raises(botocore.exceptions.ClientError):
            aws.client("secretsmanager", *wrong).get_secret_value(SecretId="prod/jwt")


def test_fetches_a_secret_and_follows_its_rotation(serve, aws):
    gateway = serve(*aws.reader)
    assert eventually(lambda: accepts(gateway, KEYS[0]))
    refused(gateway.get("/x", [bearer(key=KEYS[1])]), 401)
    aws.secrets.put_secret_value(SecretId="prod/jwt", SecretString=json.dumps({"key": KEYS[1]}))
    assert eventually(lambda: accepts(gateway, KEYS[1]))
    assert eventually(lambda: not any(gateway.get("/x", [bearer(key=KEYS[0])]).status == 200 for _ in range(8)))
    assert not told(gateway, "secret_denied") and not told(gateway, "secret_malformed")

    # The region of the signature is the region of the secret.
    assert eventually(lambda: told(gateway, "secret_not_found", "elsewhere"))
    foreign = token(key=KEYS[1], iss="https://elsewhere.example.com", aud=None, sub="7")
    assert gateway.get("/x", [bearer(foreign)]).status == 503

    aws.secrets.put_secret_value(SecretId="prod/jwt", SecretString="no JSON at all")
    assert eventually(lambda: told(gateway, "secret_malformed"))
    passed(gateway.get("/x", [bearer(key=KEYS[1])]))
    aws.secrets.put_secret_value(SecretId="prod/jwt", SecretString=json.dumps({"key": KEYS[0]}))
    assert eventually(lambda: accepts(gateway, KEYS[0]))


@pytest.mark.parametrize("who", ["a wrong key", "nobody"])
def test_credentials_that_aws_refuses_are_told_and_nobody_passes(serve, aws, who):
    key, secret = aws.nobody
    gateway = serve(key, secret + "x" if who == "a wrong key" else secret)
    assert eventually(lambda: told(gateway, "secret_denied"))
    answer = gateway.get("/x", [bearer(key=KEYS[0])])
    assert (answer.status, answer.upstream) == (503, None)
    assert secret not in gateway.log()
