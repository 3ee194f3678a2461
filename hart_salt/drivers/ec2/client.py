"""
Amazon's API through boto3: plain data in and out, and every failure is a ``DriverError``.

botocore does the retries, in its mode *standard*: up to ``ATTEMPTS`` attempts of a call that was throttled (by its
code, such as ``RequestLimitExceeded``), that failed with 500, 502, 503 or 504, or that got no answer, with a random
wait of up to 1, 2, 4 and 8 s between them. That is safe for every call here: create calls carry a ``ClientToken`` or
a unique name. Only unreachable servers are not left to botocore: ``drivers/outage.py`` has the rule for all drivers.
"""

from __future__ import annotations

import logging
import re
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
from hart_salt.drivers.ec2.rights import RIGHTS
from hart_salt.drivers.http import repeated
from hart_salt.drivers.outage import Outage, Peer, Unreachable
from hart_salt.drivers.sdk_driver import SdkApi, kind_of

# At DEBUG it logs whole requests, including the user-data with the throw-away keys.
logging.getLogger("botocore").setLevel(logging.INFO)

CONNECT_TIMEOUT = 10.0  #: seconds
ATTEMPTS = 5
#: seconds and attempts for the servers of credentials, which boto3 calls by itself
CREDENTIALS_CONNECT, CREDENTIALS_READ, CREDENTIALS_ATTEMPTS = 2.0, 10.0, 2
READINGS = 3  #: attempts of a call whose answer cannot be parsed, which botocore does not retry
DEFAULT_REGION = "us-east-1"
OPTIONAL = ("pricing", "service-quotas")  #: services without whose answers hart works
#: connections of one client: as many as hart has threads for a driver
POOL = 16

#: the maximum page size of each list; a list without pages is "susceptible to throttling" (EC2's reference)
PAGES: Mapping[str, int] = {
    "describe_instances": 1000,
    "describe_images": 1000,
    "describe_instance_types": 100,
    "describe_instance_type_offerings": 1000,
    "describe_network_interfaces": 1000,
    "describe_security_groups": 1000,
    "describe_snapshots": 1000,
    "describe_spot_instance_requests": 1000,
    "describe_subnets": 1000,
    "describe_tags": 1000,
    "describe_volumes": 500,
    "get_products": 100,
}

#: the error classes by the vendor's code (errors-overview of EC2's developer guide)
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
        "AddressLimitExceeded", "HostLimitExceeded", "PrivateIpAddressLimitExceeded",
        "RulesPerSecurityGroupLimitExceeded", "SecurityGroupLimitExceeded",
        "SecurityGroupsPerInstanceLimitExceeded", "SecurityGroupsPerInterfaceLimitExceeded",
        "ConcurrentSnapshotLimitExceeded", "PendingSnapshotLimitExceeded", "SnapshotLimitExceeded",
        "VcpuLimitExceeded", "VolumeLimitExceeded",
    ), errors.QuotaExceeded),
    **dict.fromkeys((
        "InsufficientAddressCapacity", "InsufficientCapacity", "InsufficientCapacityOnHost",
        "InsufficientFreeAddressesInSubnet", "InsufficientHostCapacity", "InsufficientInstanceCapacity",
        "InsufficientReservedInstanceCapacity", "InsufficientVolumeCapacity", "ReservationCapacityExceeded",
        "SpotMaxPriceTooLow", "UnfulfillableCapacity", "Unsupported",  # the zone does not have the size
    ), errors.NoCapacity),
    **dict.fromkeys((
        "BandwidthLimitExceeded", "EC2ThrottledException", "PriorRequestNotComplete", "RequestLimitExceeded",
        "RequestThrottled", "RequestThrottledException", "SlowDown", "SnapshotCreationPerVolumeRateExceeded",
        "Throttling", "ThrottlingException", "TooManyRequestsException",
    ), errors.RateLimited),
    **dict.fromkeys((
        "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidInstanceID.Malformed",
        "InvalidInstanceID.NotFound", "InvalidNetworkInterfaceID.NotFound", "InvalidSecurityGroupID.NotFound",
        "InvalidSecurityGroupId.Malformed", "InvalidSnapshot.NotFound", "InvalidVolume.NotFound",
    ), errors.NotFound),
    **dict.fromkeys((
        "IdempotentInstanceTerminated", "IdempotentParameterMismatch", "InvalidAMIID.Malformed",
        "InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIName.Duplicate",
        "InvalidParameterCombination", "InvalidParameterValue", "InvalidSubnetID.NotFound", "InvalidUserData.Malformed",
        "OperationNotPermitted", "TagLimitExceeded",
    ), errors.InvalidRequest),
    **dict.fromkeys((
        "DependencyViolation", "IncorrectInstanceState", "IncorrectState", "InternalError", "InternalFailure",
        "InvalidSnapshot.InUse", "ServerInternal", "ServiceUnavailable", "Unavailable",
    ), errors.TemporaryFailure),
}  # fmt: skip
#: the instance of the client token was terminated since: the call needs another token (boto/boto3#4406)
TERMINATED = "IdempotentInstanceTerminated"
#: refuses to terminate an instance with termination protection (rebuy-de/aws-nuke#279), by code and call
PROTECTED = ("OperationNotPermitted", "TerminateInstances")
HINTS: Mapping[str, str] = {
    "Blocked": "; Amazon has blocked the account: contact its support",
    "OptInRequired": "; enable the region, or subscribe to the service or the image, in Amazon's console",
    "PendingVerification": "; Amazon verifies the account, which can take some hours: try again later",
}
#: no connection, so no request was sent
NEVER_REACHED = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
#: from here on, an error's text is not readable for people
ENCODED = re.compile(r"encoded authorization (?:failure )?message", re.IGNORECASE)
#: the credentials work, but their policies do not permit the call
DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")


class Api(SdkApi):
    """
    One account in all its regions.

    Threads can share clients of boto3 but must not make them at the same time; each is made once, under a lock.
    """

    def __init__(self, account: Any, sleep: Callable[[float], None] = time.sleep, outage: Outage | None = None) -> None:
        super().__init__(account, sleep, outage)
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}

    @property
    def default_region(self) -> str:
        """The region for calls that concern no region: the first of the settings, or the SDK's default."""
        if self._account.regions:
            return str(self._account.regions[0])
        with self._lock:
            return str(self._opened().region_name or DEFAULT_REGION)

    def description(self, region: str) -> str:
        """Return the SDK's name of a region, such as ``Europe (Ireland)``; empty if it does not know the region."""
        with self._lock:
            known = self._opened()._session.get_component("data_loader").load_data("endpoints")
        names = {name: facts for partition in known["partitions"] for name, facts in partition["regions"].items()}
        return str(names.get(region, {}).get("description", ""))

    def call(
        self, region: str, operation: str, *, field: str = "", service: str = "ec2", **parameters: Any
    ) -> dict[str, Any]:
        """
        Make a call and return the answer.

        Retry as the module says, and ``READINGS`` times without a wait if the answer cannot be parsed.

        field
            the field that an answer must have; without this check, any XML page would be a success
        """

        def ask(client: Any) -> dict[str, Any]:
            answer: dict[str, Any] = getattr(client, operation)(**parameters)
            _has(answer, field)
            return answer

        answer: dict[str, Any] = self._ask(service, region, operation, ask)
        return answer

    def listed(self, region: str, operation: str, field: str, *, service: str = "ec2", **parameters: Any) -> list[Any]:
        """Return all pages of a list. Each page is retried like ``call``; a page that still fails is an error."""

        def collect(client: Any) -> list[Any]:
            if client.can_paginate(operation):
                # The API accepts no page size together with ids of what is listed.
                named = any(name.endswith("Ids") and name != "OwnerIds" for name in parameters)
                config = {} if named or operation not in PAGES else {"PageSize": PAGES[operation]}
                pages = client.get_paginator(operation).paginate(**parameters, PaginationConfig=config)
            else:
                pages = [getattr(client, operation)(**parameters)]
            return [item for page in pages for item in _has(page, field)]

        found: list[Any] = self._ask(service, region, operation, collect)
        return found

    def _ask(self, service: str, region: str, operation: str, work: Any) -> Any:
        where = _where(service, region)

        def once() -> Any:
            return self._ask_once(service, region, where, work)

        if service in OPTIONAL:
            return once()
        return repeated(once, self._sleep, _was_never_reached, self._peer(service, region, where))

    def address(self, region: str, service: str = "ec2") -> str:
        """Return the URL that calls go to: Amazon's own, or that of the settings or of the environment."""
        try:
            return str(self._client(service, region).meta.endpoint_url)
        except boto.BotoCoreError as error:
            raise _failure(error, _where(service, region)) from error

    def _peer(self, service: str, region: str, where: str) -> Peer | None:
        if self._outage is None:
            return None
        address = self.address(region, service)
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
            raise errors.AuthError(f"{where}: the access key contains characters that no key has") from error
        raise AssertionError(where)  # unreachable: the loop returns or raises

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
        # Prices and quotas are not worth a wait: without an answer they are unknown.
        attempts, connect = (1, CONNECT_TIMEOUT / 2) if service in OPTIONAL else (ATTEMPTS, CONNECT_TIMEOUT)
        return Config(
            connect_timeout=connect,
            read_timeout=self._account.api_timeout,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=POOL,
        )

    def _opened(self) -> Any:
        """Return the session, with the keys or the profile of the settings, or with what boto3 finds by itself."""
        if self._session is None:
            account = self._account
            secrets = (account.aws_access_key_id, account.aws_secret_access_key)
            keys = [secret.get_secret_value().strip() if secret else None for secret in secrets]
            if not all(key is None or (key.isascii() and key.isprintable()) for key in keys):
                raise errors.AuthError("Amazon EC2: the access key contains characters that no key has")
            try:
                self._session = boto3.session.Session(
                    aws_access_key_id=keys[0], aws_secret_access_key=keys[1], profile_name=account.profile
                )
            except boto.BotoCoreError as error:
                raise _failure(error, "Amazon EC2") from error
            # boto3 calls servers of credentials, such as STS, with its own client, which retries for minutes.
            self._session._session.set_default_client_config(
                Config(
                    connect_timeout=CREDENTIALS_CONNECT,
                    read_timeout=CREDENTIALS_READ,
                    retries={"mode": "standard", "total_max_attempts": CREDENTIALS_ATTEMPTS},
                )
            )
        return self._session


def _where(service: str, region: str) -> str:
    return f"Amazon EC2 in {region}" if service == "ec2" else f"Amazon's service {service}"


def _refuse_plain(client: Any, service: str) -> None:
    """
    Check an address that boto3 took from the environment or from its own files.

    Raises ``InvalidRequest`` if the address must not get credentials.
    """
    if said := objection(client.meta.endpoint_url):
        raise errors.InvalidRequest(
            f"Amazon's service {service}: endpoint_url of the AWS configuration files, or AWS_ENDPOINT_URL or "
            f"AWS_ENDPOINT_URL_{service.upper()} in the environment, {said}"
        )


def _leave_to_us(caught_exception: Exception | None = None, **_: Any) -> None:
    """Keep botocore from retrying unreachable servers: the first handler of its event ``needs-retry``."""
    if isinstance(caught_exception, NEVER_REACHED):
        raise caught_exception


def _was_never_reached(error: BaseException) -> bool:
    return isinstance(error, Unreachable)


def _has(answer: Mapping[str, Any], field: str) -> Any:
    """
    Return the field of an answer. An empty list counts as present.

    Raises ``ResponseParserError`` if it is missing, as in a proxy's page.
    """
    if field and field not in answer:
        raise ResponseParserError(f"no {field} in the answer")
    return answer.get(field)


def code_of(error: errors.DriverError) -> str:
    """Return the vendor's code of an error, such as ``InvalidGroup.NotFound``; empty if it has none."""
    cause = error.__cause__
    return str(cause.response.get("Error", {}).get("Code", "")) if isinstance(cause, boto.ClientError) else ""


# failures


def _refusal(error: boto.ClientError, where: str) -> errors.DriverError:
    """Return the error of a refusal. Its text has the code and the call, which the vendor's documents use."""
    facts = error.response.get("Error", {})
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    code = str(facts.get("Code", ""))
    text = ENCODED.split(str(facts.get("Message") or "no message"))[0].strip()
    message = f"{where}: {text} ({' '.join(filter(None, [code or str(status), error.operation_name]))})"
    if code in DENIED:
        message = f"{message}{RIGHTS.hint(error.operation_name, text)}"
    if (code, error.operation_name) == PROTECTED:
        return errors.Protected(
            f"{message}; the instance has termination or stop protection: salt-run hart.unprotect removes both"
        )
    message = f"{message}{HINTS.get(code, '')}"
    kind = kind_of(code, status, CODES, {429: errors.RateLimited})
    if kind is errors.TemporaryFailure:
        return errors.TemporaryFailure(message, uncertain=status >= 500)
    return kind(message)


def _failure(error: boto.BotoCoreError, where: str) -> errors.DriverError:
    """Return the error for a call that got no answer, or was not sent."""
    if isinstance(error, boto.NoCredentialsError):
        return errors.AuthError(
            f"{where} has no credentials: set aws_access_key_id and aws_secret_access_key, or profile, in the "
            "provider's settings, or provide credentials for the master's user where boto3 looks for them"
        )
    if isinstance(error, boto.ProfileNotFound):
        return errors.AuthError(
            f"{where}: the AWS configuration files of the master's user have no profile of that name"
        )
    if isinstance(error, boto.PartialCredentialsError):
        return errors.AuthError(f"{where}: the credentials that boto3 found are incomplete: {error}")
    if isinstance(error, boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.NoAuthTokenError):
        return errors.AuthError(f"{where}: boto3 could not get credentials: {error}")
    if isinstance(error, boto.SSLError):
        return errors.InvalidRequest(f"{where} cannot be called: this master does not accept its certificate")
    if isinstance(error, NEVER_REACHED):
        host = urlsplit(str(error.kwargs.get("endpoint_url", ""))).hostname
        unreachable = Unreachable(f"{where} could not be reached{f' at {host}' if host else ''}")
        unreachable.uncertain = True  # an earlier attempt of botocore may have arrived
        return unreachable
    if isinstance(error, boto.ReadTimeoutError):
        return errors.TemporaryFailure(f"{where} did not answer in time", uncertain=True)
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        return errors.TemporaryFailure(f"the connection to {where} broke", uncertain=True)
    return errors.InvalidRequest(f"{where} cannot be called: {error}")
