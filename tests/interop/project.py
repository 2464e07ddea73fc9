"""The Django project of `service`, and requests to it: by itself or by way of a gateway."""

import json
import sqlite3
import sys
from types import SimpleNamespace

import pytest
import requests
from counterpart import answers
from harness.gateway import ENVIRONMENT, free_port
from service.client import ServiceClient

DATABASE = "users.sqlite3"


class Django:
    """The service, or a gateway before it, at a port."""

    def __init__(self, port):
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def get(self, path, token=None, **headers):
        return requests.get(self.url + path, headers=self.headers(token) | headers, timeout=30)

    def post(self, path, token=None, **members):
        return self.send("POST", path, json.dumps(members), token)

    def send(self, method, path, body, token=None):
        """A body of JSON, as it is."""
        headers = self.headers(token) | {"content-type": "application/json"}
        return requests.request(method, self.url + path, data=body, headers=headers, timeout=30)

    @staticmethod
    def headers(token):
        return {"authorization": f"Bearer {token}"} if token else {}

    def log_in(self, username, password):
        answer = self.post("/api/v1/auth/login", username=username, password=password)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def client(self, **changes):
        made = {"service_name": "order-service", "service_token": ENVIRONMENT["ORDER_SERVICE_TOKEN"],
                "secret_key": ENVIRONMENT["SERVICE_SECRET_KEY"]}
        return ServiceClient(self.url, **(made | changes))


class Project(Django):
    """The service itself, with its database."""

    def __init__(self, run):
        super().__init__(free_port())
        self.counterpart = run(
            sys.executable, "-m", "service.serve", self.port, ready=lambda _: answers(self.url + "/limited"), environment={
                **ENVIRONMENT, "DATABASE": DATABASE, "DJANGO_SUPERUSER_USERNAME": "root",
                "DJANGO_SUPERUSER_PASSWORD": "Root-password-1", "DJANGO_SUPERUSER_EMAIL": "root@example.com"})

    def stored(self):
        """What the database holds of each user, by name."""
        with sqlite3.connect(f"file:{self.counterpart.directory / DATABASE}?mode=ro", uri=True) as database:
            database.row_factory = sqlite3.Row
            rows = database.execute("SELECT * FROM auth_user LEFT JOIN service_profile ON auth_user.id = user_id").fetchall()
        return {row["username"]: dict(row) for row in rows}


@pytest.fixture(scope="module")
def service(run):
    """The Django project, as long as the test module."""
    return Project(run)


@pytest.fixture(scope="module")
def upstream(service):
    """What is behind the gateways of a test module that imports this: the Django project."""
    return SimpleNamespace(port=service.port, by_marker={})
