"""Prices from AWS: the spot price history, and the price list.

The code contains no prices: what AWS does not return is unknown (`Prices.unknown`).
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from tasks.aws.clients import PRICE_REGION
from tasks.aws.errors import AwsError, error_code
from tasks.cost.amounts import Range
from tasks.runs.run import Run

SPOT_PRODUCT = "Linux/UNIX"


@dataclass(frozen=True)
class SpotPrice:
    """A spot price in one zone, from its start time on.

    Attributes:
        machine_type: Such as `m5.xlarge`.
        zone: Such as `us-east-1a`.
        since: When it came into effect.
        usd: USD per hour.
    """

    machine_type: str
    zone: str
    since: datetime
    usd: float


@dataclass(frozen=True)
class Prices:
    """AWS's prices for a run.

    Attributes:
        spot: Spot prices, unordered.
        on_demand: USD per hour, by machine type.
        gb_month: USD per GB and month of a volume, by volume type.
        requests: USD per request: `s3_write` (PUT, LIST), `s3_read` (GET), `sqs`.
        sources: API, region and time of the prices.
        unknown: Missing prices, and the reason.
    """

    spot: tuple[SpotPrice, ...] = ()
    on_demand: Mapping[str, float] = field(default_factory=dict)
    gb_month: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @cached_property
    def _steps(self) -> dict[tuple[str, str], list[tuple[datetime, float]]]:
        steps: dict[tuple[str, str], list[tuple[datetime, float]]] = {}
        for price in sorted(self.spot, key=lambda price: price.since):
            steps.setdefault((price.machine_type, price.zone), []).append((price.since, price.usd))
        return steps

    def steps(self, machine_type: str, zone: str) -> Sequence[tuple[datetime, float]]:
        """The spot prices of a machine type in a zone, each with its start time."""
        return self._steps.get((machine_type, zone), ())

    def current(self) -> dict[tuple[str, str], float]:
        """The newest spot price of each machine type in each zone."""
        newest = sorted(self.spot, key=lambda price: price.since)
        return {(price.machine_type, price.zone): price.usd for price in newest}

    def spot_range(self, limit: float) -> Range | None:
        """Cost of a spot machine per hour, over the history of types and zones within the limit.

        Args:
            limit: The highest price to pay, in USD per hour.

        Returns:
            The range, or None if no price is known or all are above the limit.
        """
        affordable = {place for place, usd in self.current().items() if usd <= limit}
        usd = [price.usd for price in self.spot if (price.machine_type, price.zone) in affordable]
        return Range(min(usd), min(max(usd), limit)) if usd else None

    def on_demand_range(self) -> Range | None:
        """Cost of an on-demand machine per hour, over all types; None if unknown."""
        usd = list(self.on_demand.values())
        return Range(min(usd), max(usd)) if usd else None


def spot_history(
    run: Run, machine_types: Sequence[str], since: datetime, until: datetime
) -> list[SpotPrice]:
    """The spot prices of machine types in all zones of the region.

    They include the price in effect at `since` (Amazon EC2 API Reference,
    DescribeSpotPriceHistory).

    Raises:
        ClientError: AWS refused or failed.
    """
    pages = run.aws.ec2.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=list(machine_types),  # type: ignore[arg-type] # stubs list today's types
        ProductDescriptions=[SPOT_PRODUCT],
        StartTime=since,
        EndTime=until,
    )
    return [
        SpotPrice(
            item["InstanceType"],
            item["AvailabilityZone"],
            item["Timestamp"],
            float(item["SpotPrice"]),
        )
        for page in pages
        for item in page["SpotPriceHistory"]
    ]


def product_usd(product: Mapping[str, Any]) -> float | None:
    """The on-demand price of a product in the price list; with several tiers, the highest.

    Source: "Reading a price list file" in the AWS Billing User Guide (`terms`,
    `priceDimensions`).
    """
    prices = [
        float(dimension["pricePerUnit"]["USD"])
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if "USD" in dimension["pricePerUnit"]
    ]
    return max(prices, default=None)


def _products(run: Run, service: str, **fields: str) -> list[dict[str, Any]]:
    pages = run.aws.pricing.get_paginator("get_products").paginate(
        ServiceCode=service,
        Filters=[
            {"Type": "ANY_OF" if "," in value else "TERM_MATCH", "Field": name, "Value": value}
            for name, value in ({"regionCode": run.config.aws_region} | fields).items()
        ],
    )
    return [json.loads(product) for page in pages for product in page["PriceList"]]


def _by(products: Iterable[Mapping[str, Any]], attribute: str) -> dict[str, float]:
    highest: dict[str, float] = {}
    for product in products:
        name = product["product"]["attributes"].get(attribute, "")
        usd = product_usd(product)
        if name and usd:
            highest[name] = max(usd, highest.get(name, 0))
    return highest


def on_demand(run: Run, machine_types: Iterable[str]) -> dict[str, float]:
    """USD per hour of Linux machines, by type.

    Raises:
        ClientError: AWS refused or failed.
    """
    products = _products(
        run,
        "AmazonEC2",
        instanceType=",".join(machine_types),
        operatingSystem="Linux",
        tenancy="Shared",
        preInstalledSw="NA",
        capacitystatus="Used",
        marketoption="OnDemand",
    )
    return _by(products, "instanceType")


def gb_month(run: Run, volume_types: Iterable[str]) -> dict[str, float]:
    """USD per GB and month of EBS volumes, by volume type.

    Raises:
        ClientError: AWS refused or failed.
    """
    names = ",".join(volume_types)
    return _by(
        _products(run, "AmazonEC2", productFamily="Storage", volumeApiName=names), "volumeApiName"
    )


def requests(run: Run) -> dict[str, float]:
    """USD per request to S3 and SQS.

    Raises:
        ClientError: AWS refused or failed.
    """
    tiers = {"s3_write": "S3-API-Tier1", "s3_read": "S3-API-Tier2"}
    s3 = _by(_products(run, "AmazonS3", group=",".join(tiers.values())), "group")
    usd = {name: s3[group] for name, group in tiers.items() if group in s3}
    queues = _by(_products(run, "AWSQueueService", productFamily="API Request"), "queueType")
    return usd | ({"sqs": queues["Standard"]} if "Standard" in queues else {})


def prices(
    run: Run,
    machine_types: Sequence[str],
    volume_types: Sequence[str],
    *,
    since: datetime,
    until: datetime,
    of_requests: bool = True,
) -> Prices:
    """Fetch all prices of a run; the result names missing ones.

    Args:
        run: The run.
        machine_types: The machine types to price.
        volume_types: The volume types to price.
        since: Start of the spot price history; AWS keeps 90 days.
        until: End of the spot price history.
        of_requests: Whether to include prices of S3 and SQS requests.
    """
    calls: dict[str, Callable[[], Any]] = {
        "spot": lambda: tuple(spot_history(run, machine_types, since, until)),
        "on_demand": lambda: on_demand(run, machine_types),
        "gb_month": lambda: gb_month(run, volume_types),
    }
    if of_requests:
        calls["requests"] = lambda: requests(run)
    with ThreadPoolExecutor(len(calls), thread_name_prefix="prices") as pool:
        answers = dict(zip(calls, pool.map(_answer, calls.values()), strict=True))
    known = {
        name: answer for name, answer in answers.items() if answer and not isinstance(answer, str)
    }
    region = run.config.aws_region
    sources = []
    if "spot" in known:
        sources.append(
            f"EC2 DescribeSpotPriceHistory in {region}, {since:%Y-%m-%d %H:%M} to "
            f"{until:%Y-%m-%d %H:%M} UTC"
        )
    if known.keys() - {"spot"}:
        sources.append(
            f"AWS Price List (GetProducts in {PRICE_REGION}) for {region}, "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        )
    unknown = tuple(
        f"{WORDS[name]} ({answer or 'AWS returned none'})"
        for name, answer in answers.items()
        if name not in known
    )
    return Prices(**known, sources=tuple(sources), unknown=unknown)


WORDS = {
    "spot": "spot prices",
    "on_demand": "on-demand prices",
    "gb_month": "prices of volumes",
    "requests": "prices of S3 and SQS requests",
}
ACTIONS = {"DescribeSpotPriceHistory": "ec2", "GetProducts": "pricing"}


def _answer(call: Callable[[], Any]) -> Any:
    """The answer, or the error as text."""
    try:
        return call()
    except AwsError as error:
        action = getattr(error, "operation_name", "")
        source = f"{ACTIONS[action]}:{action} on *" if action in ACTIONS else "AWS"
        return f"{source}: {error_code(error) or type(error).__name__}"
