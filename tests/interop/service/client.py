"""Calls other services: each request carries the caller's name, its token, the time and a signature over them."""

import hashlib
import hmac
import time

import requests


class ServiceClient:
    def __init__(self, base_url, service_name, service_token, secret_key):
        self.base_url = base_url
        self.service_name, self.service_token, self.secret_key = service_name, service_token, secret_key

    def headers(self):
        timestamp = str(time.time())
        message = f"{self.service_name}:{timestamp}:{self.service_token}"
        signature = hmac.new(self.secret_key.encode(), message.encode(), hashlib.sha256).hexdigest()
        return {
            "X-Service-Token": self.service_token,
            "X-Service-Name": self.service_name,
            "X-Timestamp": timestamp,
            "X-Signature": signature,
        }

    def get(self, path):
        return requests.get(self.base_url + path, headers=self.headers(), timeout=10)
