"""The settings of the driver ``ec2``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PlainValidator, model_validator
from typing_extensions import Self

from hart_salt.config.schema import Schema
from hart_salt.config.settings import Alias, ApiTimeout, Endpoint, Flag, Names, Secret, Section, Text, Whole, problem
from hart_salt.drivers.source_address import DEFAULT_SERVICE, AddressService, ConnectFrom


def as_price(value: Any) -> str:
    """Return a price in USD as a decimal number."""
    text = str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,10})?", text) or not float(text):
        raise problem("must be a price in USD above 0, such as 0.05")
    return text


class Account(Section):
    """Access to Amazon's API. Without keys and profile, boto3 searches its own chain of sources."""

    aws_access_key_id: Secret | None = Field(None, description="Id of an access key.")
    aws_secret_access_key: Secret | None = Field(None, description="The access key itself.")
    profile: Text | None = Field(None, description="A profile of the master's AWS configuration files.")
    regions: Names = Field(
        default_factory=list,
        description="The regions that hart uses and in which it looks for its instances (default: all enabled "
        "regions).",
    )
    endpoint: Endpoint | None = Field(
        None, description="Address of the API, if it is not the region's own, such as a proxy or a test server."
    )
    api_timeout: ApiTimeout = 60
    address_service: AddressService = DEFAULT_SERVICE

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise problem("aws_access_key_id and aws_secret_access_key need each other: set both or neither")
        if self.aws_access_key_id is not None and self.profile is not None:
            raise problem("profile and aws_access_key_id exclude each other: set one of them")
        return self


class Options(Section):
    """Settings of a node that only EC2 has."""

    ALIASES: ClassVar[Mapping[str, Alias]] = {
        "enable_ipv6": Alias("ipv6"),
        "connection_gateway": Alias("connect_from"),
    }

    subnet: Text | None = Field(None, description="Id of the subnet (default: the zone's only one).")
    vpc: Text | None = Field(None, description="Id of the VPC (default: the account's default VPC).")
    security_groups: Names = Field(
        default_factory=list, description="Ids of the security groups that the instance keeps."
    )
    volume_size: Annotated[Whole, Field(ge=1, le=65536)] | None = Field(
        None, description="Size of the root volume in GiB (default: the image's)."
    )
    volume_type: Literal["gp3", "gp2", "io1", "io2", "st1", "sc1", "standard"] = Field(
        "gp3", description="Type of the root volume."
    )
    volume_iops: Annotated[Whole, Field(ge=100, le=256000)] | None = Field(
        None, description="I/O operations per second (IOPS) of the root volume; for gp3, io1 and io2 only."
    )
    keep_volumes: Flag = Field(
        False,
        description="Whether the volume of a node stays when the node is destroyed; hart never deletes it then. A node "
        "that does not become a minion leaves no volume.",
    )
    ipv6: Flag = Field(False, description="Whether the instance gets an IPv6 address.")
    spot: Flag = Field(False, description="Whether to request a spot instance.")
    spot_max_price: Annotated[str, PlainValidator(as_price)] | None = Field(
        None, description="The highest price per hour of a spot instance, in USD (default: the on-demand price)."
    )
    instance_profile: Text | None = Field(None, description="Name or ARN of an instance profile.")
    cpu_credits: Literal["standard", "unlimited"] = Field(
        "standard", description="CPU credits of burstable sizes; `unlimited` can cost extra."
    )
    connect_from: ConnectFrom = None

    @model_validator(mode="after")
    def _iops_need_their_volume(self) -> Self:
        if self.volume_iops is not None and self.volume_type not in ("gp3", "io1", "io2"):
            raise problem("volume_iops needs a volume_type of gp3, io1 or io2")
        return self


SCHEMA = Schema(driver="ec2", account=Account, options=Options, default_size="t3.micro", default_region=None)
