"""The form of Amazon's errors: EC2's XML, and the JSON of its newer services."""

from __future__ import annotations

from xml.sax.saxutils import escape

from tests.emulation.http import Answer
from tests.emulation.tables import tables_of

REQUEST_ID = "00000000-0000-4000-8000-000000000000"
#: default code and message by status
CODES: dict[int, tuple[str, str]] = tables_of(__file__)
OTHERWISE = ("InternalError", "An internal error has occurred")


class Refusal(Exception):
    """The API refuses a request in a way that moto does not."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(f"{code}: {message}")


def error(code: str, message: str) -> bytes:
    """Return the body of one of EC2's errors, also for use in a fault."""
    found = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors>{found}</Errors>'
        f"<RequestID>{REQUEST_ID}</RequestID></Response>"
    ).encode()


def query_error(code: str, message: str) -> bytes:
    """Return the body of an error of the services that are older still, such as STS."""
    found = f"<Error><Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return f"<ErrorResponse>{found}<RequestId>{REQUEST_ID}</RequestId></ErrorResponse>".encode()


def refusal(service: str, no: Refusal) -> Answer:
    """Return a refusal in the form of a service."""
    if service in ("pricing", "servicequotas"):
        return Answer(no.status, {"__type": no.code, "Message": no.message})
    body = query_error if service == "sts" else error
    return Answer(no.status, body(no.code, no.message))


def failure(service: str, status: int) -> Answer:
    """Return the answer of a service with this error status."""
    return refusal(service, Refusal(*CODES.get(status, OTHERWISE), status))
