"""``GetProducts`` of Amazon's pricing API: a list of pages, where each product is a JSON text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.drivers.ec2.emulator import catalog as catalogue
from tests.drivers.ec2.emulator.answers import Refusal
from tests.drivers.ec2.emulator.state import Settings
from tests.emulation.http import Answer, Request

ACTION = "AWSPriceListService.GetProducts"
PERMISSION = "pricing:GetProducts"
#: the regions that have the pricing API
REGIONS = ("us-east-1", "eu-central-1", "ap-south-1")
PAGE = 100


def answer(request: Request, region: str, settings: Settings, account: str) -> Answer:
    """
    Answer one call.

    Raises ``Refusal`` if the call is wrong or not permitted.
    """
    if request.headers.get("x-amz-target") != ACTION:
        raise Refusal("UnknownOperationException", "There is no such operation.")
    if region not in REGIONS:
        raise Refusal("InvalidParameterException", f"The pricing API is not in {region}.")
    if PERMISSION in settings.denied:
        raise Refusal(
            "AccessDeniedException", f"User: arn:aws:iam::{account}:user/hart is not authorized to perform: "
            f"{PERMISSION}"
        )  # fmt: skip
    asked = request.json()
    if asked.get("ServiceCode") != "AmazonEC2":
        raise Refusal("InvalidParameterException", "There is no such service.")
    wanted = {it["Field"]: it["Value"] for it in asked.get("Filters", []) if it["Type"] == "TERM_MATCH"}
    found = [it for it in _products() if all(_fields(it).get(k) == v for k, v in wanted.items())]
    first = int(asked.get("NextToken") or 0)
    last = first + min(PAGE, asked.get("MaxResults", PAGE), settings.page_cap or PAGE)
    more = {"NextToken": str(last)} if last < len(found) else {}
    return Answer(200, {"FormatVersion": "aws_v1", "PriceList": [json.dumps(it) for it in found[first:last]], **more})


def _fields(product: dict[str, Any]) -> dict[str, str]:
    return {**product["product"]["attributes"], "productFamily": product["product"]["productFamily"]}


def _products() -> Iterator[dict[str, Any]]:
    """
    Yield the price lists.

    They include those that a client must skip: Windows, dedicated tenancy, and unused capacity reservations.
    """
    for region in catalogue.REGIONS:
        yield from _storage(region)
        for size in catalogue.SIZES:
            price = catalogue.price(region, size)
            if price is not None:
                yield _product(region, size, price)
                yield _product(region, size, price * 2, operatingSystem="Windows")
                yield _product(region, size, price * 1.1, tenancy="Dedicated")
                yield _product(region, size, 0.0, capacitystatus="UnusedCapacityReservation")


def _storage(region: str) -> Iterator[dict[str, Any]]:
    """Yield the prices of snapshots, and of their archive; in one region, the usage types have no prefix."""
    prefix = "" if region == "us-east-1" else f"{catalogue.CODES[region]}-"
    for kind, price in (("EBS:SnapshotUsage", catalogue.SNAPSHOT), ("EBS:SnapshotArchiveStorage", 0.0125)):
        attributes = {"servicecode": "AmazonEC2", "regionCode": region, "usagetype": f"{prefix}{kind}"}
        yield _offered("Storage Snapshot", attributes, "GB-Mo", price)


def _product(region: str, size: str, price: float, **more: str) -> dict[str, Any]:
    attributes = {
        "servicecode": "AmazonEC2", "regionCode": region, "instanceType": size, "operatingSystem": "Linux",
        "preInstalledSw": "NA", "tenancy": "Shared", "capacitystatus": "Used", "marketoption": "OnDemand",
        "licenseModel": "No License required", "operation": "RunInstances", **more,
    }  # fmt: skip
    return _offered("Compute Instance", attributes, "Hrs", price)


def _offered(family: str, attributes: dict[str, str], unit: str, price: float) -> dict[str, Any]:
    sku = "".join(attributes.values()).encode().hex()[-16:].upper()
    rate = {"unit": unit, "pricePerUnit": {"USD": f"{price:.10f}"}, "rateCode": f"{sku}.JRTCKXETXF.6YS6EN2CT7"}
    offer = {"sku": sku, "offerTermCode": "JRTCKXETXF", "priceDimensions": {rate["rateCode"]: rate}}
    product = {"productFamily": family, "attributes": attributes, "sku": sku}
    return {"product": product, "serviceCode": "AmazonEC2", "terms": {"OnDemand": {f"{sku}.JRTCKXETXF": offer}}}
