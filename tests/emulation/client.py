"""A client of an emulated API that returns every answer unchanged, for tests."""

from __future__ import annotations

import abc
from typing import Any

import requests

TIMEOUT = 120.0


class Client(abc.ABC):
    """Calls with the token, whose answers are those of ``requests``. Each provider implements ``create``."""

    def __init__(self, cloud: Any) -> None:
        self.cloud = cloud
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {cloud.token}"

    @abc.abstractmethod
    def create(self, name: str = "app-1", /, **more: Any) -> Any:
        """Create an instance and return it."""

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> requests.Response:
        """Make one call; ``path`` is relative to the endpoint."""
        url = f"{self.cloud.endpoint.rstrip('/')}/{path}"
        return self._session.request(method, url, json=body, timeout=TIMEOUT, **more)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET, which must succeed."""
        answer = self.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, path: str, field: str, **body: Any) -> Any:
        """Create a resource and return it."""
        answer = self.call("POST", path, body)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()[field]

    def refusal(self, path: str, **body: Any) -> requests.Response:
        """Return the answer to a create call that is refused and changes nothing."""
        before = self.cloud.state.left()
        answer = self.call("POST", path, body)
        assert self.cloud.state.left() == before
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
