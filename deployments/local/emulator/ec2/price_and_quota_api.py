"""Prices and quotas from the account's table in AWS's format; without a table, none.

moto returns made-up Spot prices, and has no price list and no vCPU quotas.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug.wrappers import Response

from deployments.local.emulator.core.account_limits import DEFAULT_QUOTA, AccountLimits
from deployments.local.emulator.core.chaos_switches import in_pool
from deployments.local.emulator.core.state import EmulatorState, Region, now

KEPT = timedelta(days=90)
FILTERS = {
    "availability-zone": "AvailabilityZone",
    "instance-type": "InstanceType",
    "product-description": "ProductDescription",
}
PAGE = 100  # maximum page size of GetProducts (AWS Price List API Reference)


def describe_spot_price_history(
    emulator: EmulatorState, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeSpotPriceHistory: the changes in the window, and the last one before it.

    Source: DescribeSpotPriceHistory in the Amazon EC2 API Reference: the last change before the
    start is the price at the start; the newest is first; the history has 90 days.
    """
    oldest = now() - KEPT
    since = max(params.get("StartTime", oldest), oldest)
    until = params.get("EndTime")
    in_window: list[dict[str, Any]] = []
    earlier: dict[tuple[str, str], dict[str, Any]] = {}
    prices = [
        spot_price
        for spot_price in _spot_prices(emulator, region, params)
        if _matches_request(spot_price, params)
    ]
    for price in sorted(prices, key=lambda price: price["Timestamp"]):
        if until is not None and price["Timestamp"] > until:
            continue
        if price["Timestamp"] < since:
            earlier[(price["InstanceType"], price["AvailabilityZone"])] = price
        else:
            in_window.append(price)
    newest_first = [*earlier.values(), *in_window][::-1]
    return {"SpotPriceHistory": newest_first}


def _spot_prices(
    emulator: EmulatorState, region: Region, params: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """All prices in the account's table, and the switch's price from the time it was set."""
    for spot_price in emulator.account.spot:
        yield _price(
            spot_price["machine_type"],
            spot_price["zone"],
            _time(spot_price),
            float(spot_price["usd"]),
        )
    if not emulator.chaos.spot_price:
        return
    priced_types = {spot_price["machine_type"] for spot_price in emulator.account.spot}
    for machine_type in params.get("InstanceTypes") or sorted(priced_types):
        for zone in region.ec2.get_default_subnets():
            for pool, usd in emulator.chaos.spot_price.items():
                if in_pool(pool, machine_type, zone):
                    yield _price(machine_type, zone, emulator.chaos_at, usd)
                    break


def _price(machine_type: str, zone: str, at: datetime, usd: float) -> dict[str, Any]:
    return {
        "InstanceType": machine_type,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": f"{usd:.6f}",
        "AvailabilityZone": zone,
        "Timestamp": at,
    }


def _matches_request(price: Mapping[str, Any], params: Mapping[str, Any]) -> bool:
    zone = params.get("AvailabilityZone")
    values_by_key = {
        "InstanceType": params.get("InstanceTypes"),
        "ProductDescription": params.get("ProductDescriptions"),
        "AvailabilityZone": [zone] if zone else None,
    }
    for filter_ in params.get("Filters", []):
        values_by_key[FILTERS[filter_["Name"]]] = filter_["Values"]
    return all(not values or price[key] in values for key, values in values_by_key.items())


def spot_price(emulator: EmulatorState, machine_type: str, zone: str) -> float | None:
    """The current Spot price of a machine type in a zone, in USD per hour; None if not set."""
    for pool, usd in emulator.chaos.spot_price.items():
        if in_pool(pool, machine_type, zone):
            return usd
    prices = [
        (_time(row), float(row["usd"]))
        for row in emulator.account.spot
        if row["machine_type"] == machine_type and row["zone"] == zone and _time(row) <= now()
    ]
    return max(prices)[1] if prices else None


def _time(price: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(price["at"]).astimezone(UTC).replace(tzinfo=None)


def json_answer(emulator: EmulatorState, action: str, params: Mapping[str, Any]) -> Response | None:
    """The response to GetProducts and GetServiceQuota; None for any other action."""
    answers: dict[str, Callable[[AccountLimits, Mapping[str, Any]], Mapping[str, Any]]] = {
        "pricing:GetProducts": get_products,
        "servicequotas:GetServiceQuota": get_service_quota,
    }
    if action not in answers:
        return None
    body = answers[action](emulator.account, params)
    return Response(json.dumps(body), content_type="application/x-amz-json-1.1")


def get_service_quota(account: AccountLimits, params: Mapping[str, Any]) -> dict[str, Any]:
    """GetServiceQuota."""
    code = params["QuotaCode"]
    quota = {
        "ServiceCode": params["ServiceCode"],
        "QuotaCode": code,
        "QuotaName": code,
        "Value": account.quotas.get(code, DEFAULT_QUOTA),
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return {"Quota": quota}


def get_products(account: AccountLimits, params: Mapping[str, Any]) -> dict[str, Any]:
    """GetProducts, with the filter types TERM_MATCH and ANY_OF."""
    values_by_field = {
        filter_["Field"]: filter_["Value"].split(",")
        if filter_["Type"] == "ANY_OF"
        else [filter_["Value"]]
        for filter_ in params.get("Filters", [])
    }
    region = values_by_field.pop("regionCode", [""])[0]
    products = [
        json.dumps(_product(service, family, attributes | {"regionCode": region}, usd))
        for service, family, attributes, usd in _all(account)
        if service == params["ServiceCode"]
        and all(
            (attributes | {"productFamily": family}).get(name) in values
            for name, values in values_by_field.items()
        )
    ]
    start = int(params.get("NextToken") or 0)
    page: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": products[start : start + PAGE]}
    return page | ({"NextToken": str(start + PAGE)} if start + PAGE < len(products) else {})


def _all(account: AccountLimits) -> Iterator[tuple[str, str, dict[str, str], float]]:
    """Service, product family, attributes and price of every product."""
    linux = {
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
        "marketoption": "OnDemand",
    }
    for name, usd in account.on_demand.items():
        yield "AmazonEC2", "Compute Instance", linux | {"instanceType": name}, usd
    for name, usd in account.gb_month.items():
        yield "AmazonEC2", "Storage", {"volumeApiName": name}, usd
    requests: dict[str, tuple[str, dict[str, str]]] = {
        "s3_write": ("AmazonS3", {"group": "S3-API-Tier1"}),
        "s3_read": ("AmazonS3", {"group": "S3-API-Tier2"}),
        "sqs": ("AWSQueueService", {"queueType": "Standard"}),
    }
    for name, usd in account.requests.items():
        service, attributes = requests[name]
        yield service, "API Request", attributes, usd


def _product(service: str, family: str, attributes: dict[str, str], usd: float) -> dict[str, Any]:
    price = {"pricePerUnit": {"USD": f"{usd:.10f}"}}
    dimension = {"unit": "", "beginRange": "0", "endRange": "Inf", **price}
    return {
        "product": {"productFamily": family, "attributes": attributes, "sku": "SKU"},
        "serviceCode": service,
        "terms": {"OnDemand": {"SKU.TERM": {"priceDimensions": {"SKU.TERM.RATE": dimension}}}},
    }


ACTIONS = {"DescribeSpotPriceHistory": describe_spot_price_history}
