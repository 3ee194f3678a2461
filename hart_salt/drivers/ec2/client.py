"""
Amazon's API, by way of boto3: plain data in and out, and every failure a ``DriverError``.

Repeating is botocore's own work, in its mode *standard*: up to ``ATTEMPTS`` tries of a call that was throttled
(by its code, such as ``RequestLimitExceeded``), that failed with 500, 502, 503 or 504, or that got no answer, with
a random wait of up to 1, 2, 4 and 8 s between them. That is safe for every call that is made here: those that
create carry a ``ClientToken``, or a name that cannot be taken twice. What could not be reached is taken from it, and
repeated as with every driver: see ``drivers/outage.py``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import exceptions as boto
from botocore.config import Config
from botocore.parsers import ResponseParserError

from hart_salt.base import errors
from hart_salt.base.endpoints import objection
from hart_salt.drivers.http import repeated
from hart_salt.drivers.outage import Outage, Peer, Unreachable
from hart_salt.drivers.sdk_driver import SdkApi, kind_of

# At DEBUG it writes down whole requests, with the user-data and so the throw-away keys in it.
logging.getLogger("botocore").setLevel(logging.INFO)

CONNECT_TIMEOUT = 10.0  #: seconds
ATTEMPTS = 5
#: for the servers that give out credentials, which boto3 asks by itself; seconds, and tries
CREDENTIALS_CONNECT, CREDENTIALS_READ, CREDENTIALS_ATTEMPTS = 2.0, 10.0, 2
READINGS = 3  #: tries of a call whose answer cannot be read, which botocore gives up on at once
DEFAULT_REGION = "us-east-1"
#: connections that one client keeps: as many as hart has threads for a driver
POOL = 16

#: the longest pages that each list may have; a list without one is "susceptible to throttling" (EC2's reference)
PAGES: Mapping[str, int] = {
    "describe_instances": 1000,
    "describe_images": 1000,
    "describe_instance_types": 100,
    "describe_instance_type_offerings": 1000,
    "describe_network_interfaces": 1000,
    "describe_security_groups": 1000,
    "describe_subnets": 1000,
    "describe_volumes": 500,
    "get_products": 100,
}

#: what the caller does next, by the vendor's code (errors-overview of EC2's developer guide)
CODES: Mapping[str, type[errors.DriverError]] = {
    **dict.fromkeys((
        "AccessDenied", "AccessDeniedException", "AuthFailure", "Blocked", "ExpiredToken",
        "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId",
        "MissingAuthenticationToken", "OptInRequired", "PendingVerification", "RequestExpired",
        "SignatureDoesNotMatch", "UnauthorizedOperation", "UnrecognizedClientException",
    ), errors.AuthError),
    **dict.fromkeys((
        "InstanceLimitExceeded", "MaxIOPSLimitExceeded", "MaxSpotInstanceCountExceeded",
        "NetworkInterfaceLimitExceeded", "ResourceCountExceeded", "ResourceLimitExceeded",
        "RulesPerSecurityGroupLimitExceeded", "SecurityGroupLimitExceeded",
        "SecurityGroupsPerInstanceLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded",
        "VcpuLimitExceeded", "VolumeLimitExceeded",
    ), errors.QuotaExceeded),
    **dict.fromkeys((
        "InsufficientAddressCapacity", "InsufficientCapacity", "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity", "InsufficientInstanceCapacity", "InsufficientReservedInstanceCapacity",
        "InsufficientVolumeCapacity", "SpotMaxPriceTooLow", "UnfulfillableCapacity",
    ), errors.NoCapacity),
    **dict.fromkeys((
        "BandwidthLimitExceeded", "EC2ThrottledException", "PriorRequestNotComplete", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "SlowDown", "Throttling", "ThrottlingException",
        "TooManyRequestsException",
    ), errors.RateLimited),
    **dict.fromkeys((
        "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidInstanceID.Malformed",
        "InvalidInstanceID.NotFound", "InvalidNetworkInterfaceID.NotFound", "InvalidVolume.NotFound",
    ), errors.NotFound),
    **dict.fromkeys((
        "DependencyViolation", "IncorrectInstanceState", "IncorrectState", "InternalError", "InternalFailure",
        "ServerInternal", "ServiceUnavailable", "Unavailable",
    ), errors.TemporaryFailure),
}  # fmt: skip
#: nothing was asked: there was no connection
NEVER_REACHED = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
#: where an error's text says nothing that a person could read
ENCODED = "Encoded authorization failure message"


class Api(SdkApi):
    """
    One account in all its regions.

    Clients of boto3 can be shared by threads, making one cannot; each is made once.
    """

    def __init__(self, account: Any, sleep: Callable[[float], None] = time.sleep, outage: Outage | None = None) -> None:
        super().__init__(account, sleep, outage)
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def home(self) -> str:
        """The region that is asked what is no matter of a region: the first that is set, or the SDK's own."""
        if self._account.regions:
            return str(self._account.regions[0])
        with self._lock:
            return str(self._opened().region_name or DEFAULT_REGION)

    def description(self, region: str) -> str:
        """What the SDK calls a region, such as ``Europe (Ireland)``; empty for one that it does not know."""
        with self._lock:
            known = self._opened()._session.get_component("data_loader").load_data("endpoints")
        names = {name: facts for partition in known["partitions"] for name, facts in partition["regions"].items()}
        return str(names.get(region, {}).get("description", ""))

    def call(
        self, region: str, operation: str, *, field: str = "", service: str = "ec2", **parameters: Any
    ) -> dict[str, Any]:
        """
        Make a call and return the answer.

        Repeated as the module says; one with an answer that cannot be read, ``READINGS`` times at once.

        field
            what an answer has to have; any page that is XML would otherwise be a success
        """

        def ask(client: Any) -> dict[str, Any]:
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
            _has(answer, field)
            return answer

        answer: dict[str, Any] = self._ask(service, region, operation, ask)
        return answer

    def listed(self, region: str, operation: str, field: str, *, service: str = "ec2", **parameters: Any) -> list[Any]:
        """Return a list with all its pages, each repeated like ``call``; one that fails for good is an error."""

        def collect(client: Any) -> list[Any]:
            if client.can_paginate(operation):
                # Together with ids the API takes no size of a page.
                named = any(name.endswith("Ids") for name in parameters)
                config = {} if named or operation not in PAGES else {"PageSize": PAGES[operation]}
                pages = client.get_paginator(operation).paginate(**parameters, PaginationConfig=config)
            else:
                pages = [getattr(client, operation)(**parameters)]
            return [item for page in pages for item in _has(page, field)]

        found: list[Any] = self._ask(service, region, operation, collect)
        return found

    def _ask(self, service: str, region: str, operation: str, work: Any) -> Any:
        where = f"Amazon EC2 in {region}" if service == "ec2" else f"Amazon's service {service}"

        def once() -> Any:
            return self._ask_once(service, region, where, work)

        if service == "pricing":
            return once()
        return repeated(once, self._sleep, _was_never_reached, self._peer(service, region, where))

    def _peer(self, service: str, region: str, where: str) -> Peer | None:
        if self._outage is None:
            return None
        try:
            address = self._client(service, region).meta.endpoint_url
        except boto.BotoCoreError as error:
            raise _failure(error, where) from error
        return self._outage.peer(f"{where}, at {urlsplit(address).hostname},", address)

    def _ask_once(self, service: str, region: str, where: str, work: Any) -> Any:
        try:
            client = self._client(service, region)
            for reading in range(READINGS):
                try:
                    return work(client)
                except ResponseParserError:
                    if reading == READINGS - 1:
                        raise
        except boto.ClientError as error:
            raise _refusal(error, where) from error
        except ResponseParserError as error:
            raise errors.TemporaryFailure(f"{where} gave an answer that cannot be read", uncertain=True) from error
        except boto.BotoCoreError as error:
            raise _failure(error, where) from error
        except UnicodeError as error:
            raise errors.AuthError(f"{where}: the access key holds characters that no key has") from error
        raise AssertionError(where)  # the loop returns or raises

    def _client(self, service: str, region: str) -> Any:
        with self._lock:
            if (service, region) not in self._clients:
                client = self._opened().client(
                    service, region_name=region, endpoint_url=self._account.endpoint, config=self._config(service)
                )
                _refuse_plain(client, service)
                client.meta.events.register_first("needs-retry", _leave_to_us)
                self._clients[service, region] = client
            return self._clients[service, region]

    def _config(self, service: str) -> Config:
        # Prices are nothing to wait for: without an answer they are not known.
        attempts, connect = (1, CONNECT_TIMEOUT / 2) if service == "pricing" else (ATTEMPTS, CONNECT_TIMEOUT)
        return Config(
            connect_timeout=connect,
            read_timeout=self._account.api_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=POOL,
        )

    def _opened(self) -> Any:
        """The session. Keys of the settings, or the profile, or what boto3 finds by itself."""
        if self._session is None:
            account = self._account
            secrets = (account.aws_access_key_id, account.aws_secret_access_key)
            keys = [secret.get_secret_value().strip() if secret else None for secret in secrets]
            if not all(key is None or (key.isascii() and key.isprintable()) for key in keys):
                raise errors.AuthError("Amazon EC2: the access key holds characters that no key has")
            try:
                self._session = boto3.session.Session(
                    aws_access_key_id=keys[0], aws_secret_access_key=keys[1], profile_name=account.profile
                )
            except boto.BotoCoreError as error:
                raise _failure(error, "Amazon EC2") from error
            # What boto3 asks for credentials, such as STS, it asks with a client of its own, for minutes.
            self._session._session.set_default_client_config(
                Config(
                    connect_timeout=CREDENTIALS_CONNECT,
                    read_timeout=CREDENTIALS_READ,
                    retries={"mode": "standard", "total_max_attempts": CREDENTIALS_ATTEMPTS},
                )
            )
        return self._session


def _refuse_plain(client: Any, service: str) -> None:
    """Raises ``InvalidRequest`` for an address that boto3 took from the environment or from its own files."""
    if said := objection(client.meta.endpoint_url):
        raise errors.InvalidRequest(
            f"Amazon's service {service}: endpoint_url of the AWS configuration files, or AWS_ENDPOINT_URL or "
            f"AWS_ENDPOINT_URL_{service.upper()} in the environment, {said}"
        )


def _leave_to_us(caught_exception: Exception | None = None, **_: Any) -> None:
    """What was never reached is not botocore's to repeat: a handler of its event that comes first."""
    if isinstance(caught_exception, NEVER_REACHED):
        raise caught_exception


def _was_never_reached(error: BaseException) -> bool:
    return isinstance(error, Unreachable)


def _has(answer: Mapping[str, Any], field: str) -> Any:
    """The field of an answer. A list that is empty is there; a page of a proxy's has nothing."""
    if field and field not in answer:
        raise ResponseParserError(f"no {field} in the answer")
    return answer.get(field)


def code_of(error: errors.DriverError) -> str:
    """The vendor's code of an error, such as ``InvalidGroup.NotFound``; empty for one that has none."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, boto.ClientError) else ""


# failures


def _refusal(error: boto.ClientError, where: str) -> errors.DriverError:
    """What the API answered. The code and the call are reported; they are what the vendor's documents go by."""
    facts = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(facts.get("Code", ""))
    text = str(facts.get("Message") or "no message").partition(ENCODED)[0].strip()
    message = f"{where}: {text} ({' '.join(filter(None, [code or str(status), error.operation_name]))})"
    kind = kind_of(code, status, CODES, {429: errors.RateLimited})
    if kind is errors.TemporaryFailure:
        return errors.TemporaryFailure(message, uncertain=status >= 500)
    return kind(message)


def _failure(error: boto.BotoCoreError, where: str) -> errors.DriverError:
    """What it means that there was no answer, or no question."""
    if isinstance(error, boto.NoCredentialsError):
        return errors.AuthError(
            f"{where} has no credentials: set aws_access_key_id and aws_secret_access_key, or profile, in the "
            "provider's settings, or give the master's user some in a way that boto3 knows"
        )
    if isinstance(error, boto.ProfileNotFound):
        return errors.AuthError(
            f"{where}: the AWS configuration files of the master's user have no profile of that name"
        )
    if isinstance(error, boto.PartialCredentialsError):
        return errors.AuthError(f"{where}: the credentials that boto3 found are not whole: {error}")
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.NoAuthTokenError):
        return errors.AuthError(f"{where}: boto3 could not get credentials: {error}")
    if isinstance(error, boto.SSLError):
        return errors.InvalidRequest(f"{where} cannot be asked: its certificate is not valid for it here")
    if isinstance(error, NEVER_REACHED):
        host = urlsplit(str(error.kwargs.get("endpoint_url", ""))).hostname
        unreachable = Unreachable(f"{where} could not be reached{f' at {host}' if host else ''}")
        unreachable.uncertain = True  # one of botocore's tries before may have arrived
        return unreachable
    if isinstance(error, boto.ReadTimeoutError):
        return errors.TemporaryFailure(f"{where} did not answer in time", uncertain=True)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        return errors.TemporaryFailure(f"the connection to {where} broke", uncertain=True)
    return errors.InvalidRequest(f"{where} cannot be asked: {error}")
