"""A client of an emulated API that hides nothing, for tests."""

from __future__ import annotations

import abc
from typing import Any

import requests

TIMEOUT = 120.0


class Client(abc.ABC):
    """Calls with the token; the answers are ``requests``' own. What creates an instance is the provider's own."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {cloud.token}"

    @abc.abstractmethod
    def create(self, name: str = "app-1", /, **more: Any) -> Any:
        """Create an instance and return it."""

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """One call; ``path`` is below the endpoint."""
        url = f"{self.cloud.endpoint.rstrip('/')}/{path}"
        return self._session.request(method, url, json=body, timeout=TIMEOUT, **more)

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET, which has to succeed."""
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, path: str, field: str, **body: Any) -> Any:
        """Create something and return it."""
        answer = self.call("POST", path, body)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()[field]

    def refusal(self, path: str, **body: Any) -> requests.Response:
        """The answer to a create that is refused; the account is as before."""
        before = self.cloud.state.left()
        answer = self.call("POST", path, body)
        assert self.cloud.state.left() == before
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
