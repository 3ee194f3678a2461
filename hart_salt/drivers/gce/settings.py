"""The settings of the driver ``gce``: of the account and of a node."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from hart_salt.config.schema import Schema
from hart_salt.config.settings import (
    Alias,
    ApiTimeout,
    Endpoint,
    Flag,
    Labels,
    Names,
    Secret,
    Section,
    Text,
    Whole,
    as_labels,
    problem,
)
from hart_salt.drivers.source_address import DEFAULT_SERVICE, AddressService, ConnectFrom


def _as_google_labels(value: Any) -> dict[str, str]:
    labels = as_labels(value)
    if not all(re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) for key in labels):
        raise problem("must have names of lowercase letters, digits, '_' and '-' that start with a letter")
    if not all(re.fullmatch(r"[a-z0-9_-]{0,63}", text) for text in labels.values()):
        raise problem("must have values of at most 63 lowercase letters, digits, '_' and '-'")
    return labels


class Account(Section):
    """Access to Google's API. Without a key, the master's application default credentials are used."""

    project: Text = Field(description="Id of the project.")
    user_id: Text | None = Field(None, description="Email address of the service account that `key` belongs to.")
    key: Secret | None = Field(
        None, description="The service account's private key: PEM text, or the path of a file on the master."
    )
    key_file: Text | None = Field(
        None,
        description="Path of a service account's JSON key file on the master, instead of `user_id` and `key`.",
    )
    endpoint: Endpoint | None = Field(
        None, description="Address of the API, if it is not Google's own, such as a proxy or a test server."
    )
    api_timeout: ApiTimeout = 60
    address_service: AddressService = DEFAULT_SERVICE

    @model_validator(mode="after")
    def _one_way_to_log_in(self) -> Self:
        if (self.user_id is None) != (self.key is None):
            raise problem("user_id and key need each other: set both or neither")
        if self.key is not None and self.key_file is not None:
            raise problem("key and key_file exclude each other: set one of them")
        return self


class Options(Section):
    """Settings of a node that only Compute Engine has."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {
        "enable_ipv6": Alias("ipv6"),
        "connection_gateway": Alias("connect_from"),
    }

    subnet: Text | None = Field(None, description="Name of the subnet (default: the region's only one).")
    network: Text | None = Field(None, description="Name of the network (default: the subnet's).")
    labels: Annotated[Labels, BeforeValidator(_as_google_labels)] = Field(
        default_factory=dict,
        description="Labels of the instance and its disks; `a=1,b=2` on the command line.",
    )
    volume_size: Annotated[Whole, Field(ge=10, le=65536)] = Field(10, description="Size of the boot disk in GB.")
    volume_type: Literal[
        "pd-standard",
        "pd-balanced",
        "pd-ssd",
        "pd-extreme",
        "hyperdisk-balanced",
        "hyperdisk-balanced-high-availability",
        "hyperdisk-extreme",
        "hyperdisk-throughput",
        "hyperdisk-ml",
    ] = Field("pd-ssd", description="Type of the boot disk.")
    volume_iops: Annotated[Whole, Field(ge=1)] | None = Field(
        None, description="I/O operations per second (IOPS) of the boot disk; for hyperdisks and pd-extreme only."
    )
    keep_volumes: Flag = Field(
        False,
        description="Whether the boot disk of a node stays when the node is destroyed; hart never deletes it then. A "
        "node that does not become a minion leaves no disk.",
    )
    local_ssds: Annotated[Whole, Field(ge=0, le=24)] = Field(
        0, description="Number of local SSDs to attach; they are not formatted."
    )
    spot: Flag = Field(False, description="Whether to request a spot instance.")
    service_account: Text | None = Field(
        None, description="Email address of the node's service account (default: none)."
    )
    scopes: Names = Field(
        default_factory=list,
        description="OAuth scopes of the node's service account: addresses, or short names such as `cloud-platform`.",
    )
    enable_oslogin: Flag = Field(False, description="Whether Google's OS Login manages users on the node.")
    ipv6: Flag = Field(False, description="Whether the instance gets an external IPv6 address.")
    connect_from: ConnectFrom = None

    @model_validator(mode="after")
    def _iops_need_their_volume(self) -> Self:
        fixed = not self.volume_type.startswith("hyperdisk-") and self.volume_type != "pd-extreme"
        if self.volume_iops is not None and fixed:
            raise problem("volume_iops needs a volume_type that is a hyperdisk or pd-extreme")
        return self


SCHEMA = Schema(driver="gce", account=Account, options=Options, default_size="e2-small", default_region=None)
