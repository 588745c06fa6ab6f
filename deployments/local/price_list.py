"""Prices and quotas as AWS tells them, from the account's table; without a table, none.

moto tells made-up spot prices and has no price list and no quotas of vCPUs.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from werkzeug.wrappers import Request, Response

from deployments.local.account import DEFAULT_QUOTA, Account
from deployments.local.cloud import Cloud, Region

PAGE = 100  # GetProducts: at most so many a page (AWS Price List API Reference)


def describe_spot_price_history(
    cloud: Cloud, region: Region, params: dict[str, Any]
) -> dict[str, Any]:
    """DescribeSpotPriceHistory: the changes in the window, and the last one before it."""
    since, until = params.get("StartTime"), params.get("EndTime")
    types = params.get("InstanceTypes") or []
    found: list[dict[str, Any]] = []
    earlier: dict[tuple[str, str], dict[str, Any]] = {}
    for one in sorted(cloud.account.spot, key=lambda one: str(one["at"])):
        at = datetime.fromisoformat(one["at"]).astimezone(UTC).replace(tzinfo=None)
        if (types and one["machine_type"] not in types) or (until is not None and at > until):
            continue
        price = {
            "InstanceType": one["machine_type"],
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{one['usd']:.6f}",
            "AvailabilityZone": one["zone"],
            "Timestamp": at,
        }
        if since is not None and at < since:
            earlier[(one["machine_type"], one["zone"])] = price
        else:
            found.append(price)
    newest_first = [*earlier.values(), *found][::-1]
    return {"SpotPriceHistory": newest_first}


def json_answer(cloud: Cloud, action: str, request: Request) -> Response | None:
    """The answer to GetProducts and GetServiceQuota; None for any other action."""
    answers: dict[str, Callable[[Account, Mapping[str, Any]], Mapping[str, Any]]] = {
        "pricing:GetProducts": get_products,
        "servicequotas:GetServiceQuota": get_service_quota,
    }
    if action not in answers:
        return None
    body = answers[action](cloud.account, json.loads(request.get_data()))
    return Response(json.dumps(body), content_type="application/x-amz-json-1.1")


def get_service_quota(account: Account, params: Mapping[str, Any]) -> dict[str, Any]:
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


def get_products(account: Account, params: Mapping[str, Any]) -> dict[str, Any]:
    """GetProducts, with filters of the types TERM_MATCH and ANY_OF."""
    wanted = {
        one["Field"]: one["Value"].split(",") if one["Type"] == "ANY_OF" else [one["Value"]]
        for one in params.get("Filters", [])
    }
    region = wanted.pop("regionCode", [""])[0]
    products = [
        json.dumps(_product(service, family, attributes | {"regionCode": region}, usd))
        for service, family, attributes, usd in _all(account)
        if service == params["ServiceCode"]
        and all(
            (attributes | {"productFamily": family}).get(name) in values
            for name, values in wanted.items()
        )
    ]
    start = int(params.get("NextToken") or 0)
    page: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": products[start : start + PAGE]}
    return page | ({"NextToken": str(start + PAGE)} if start + PAGE < len(products) else {})


def _all(account: Account) -> Iterator[tuple[str, str, dict[str, str], float]]:
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
