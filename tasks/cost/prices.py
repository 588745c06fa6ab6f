"""Prices as AWS tells them: spot prices with their history, and the price list.

No price is written here: what AWS does not tell is not known (`Prices.unknown`).
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
    """A spot price from a time on, in one zone.

    Attributes:
        machine_type: Such as `m5.xlarge`.
        zone: Such as `us-east-1a`.
        since: When it came into effect.
        usd: USD an hour.
    """

    machine_type: str
    zone: str
    since: datetime
    usd: float


@dataclass(frozen=True)
class Prices:
    """What AWS tells of the prices of a run.

    Attributes:
        spot: Spot prices, in no order.
        on_demand: USD an hour by machine type.
        gb_month: USD for a GB of a volume for a month, by volume type.
        requests: USD a request: `s3_write` (PUT, LIST), `s3_read` (GET), `sqs`.
        sources: Which API told them, of which region, when.
        unknown: What was not told, and why.
    """

    spot: tuple[SpotPrice, ...] = ()
    on_demand: Mapping[str, float] = field(default_factory=dict)
    gb_month: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @cached_property
    def _steps(self) -> dict[tuple[str, str], list[tuple[datetime, float]]]:
        found: dict[tuple[str, str], list[tuple[datetime, float]]] = {}
        for one in sorted(self.spot, key=lambda price: price.since):
            found.setdefault((one.machine_type, one.zone), []).append((one.since, one.usd))
        return found

    def steps(self, machine_type: str, zone: str) -> Sequence[tuple[datetime, float]]:
        """The spot prices of a machine type in a zone, each with when it came into effect."""
        return self._steps.get((machine_type, zone), ())

    def current(self) -> dict[tuple[str, str], float]:
        """The newest spot price of each machine type in each zone."""
        newest = sorted(self.spot, key=lambda price: price.since)
        return {(price.machine_type, price.zone): price.usd for price in newest}

    def spot_range(self, limit: float) -> Range | None:
        """What a spot machine costs an hour: over the history of what may be bought now.

        Args:
            limit: The most to pay, in USD an hour; dearer is not bought.

        Returns:
            The range, or None when no price is known or all are above the limit.
        """
        bought = {place for place, usd in self.current().items() if usd <= limit}
        seen = [one.usd for one in self.spot if (one.machine_type, one.zone) in bought]
        return Range(min(seen), min(max(seen), limit)) if seen else None

    def on_demand_range(self) -> Range | None:
        """What a machine costs an hour on demand, over the types; None when not known."""
        found = list(self.on_demand.values())
        return Range(min(found), max(found)) if found else None


def spot_history(
    run: Run, machine_types: Sequence[str], since: datetime, until: datetime
) -> list[SpotPrice]:
    """The spot prices of machine types in all zones of the region.

    The price in effect at `since` is among them (Amazon EC2 API Reference,
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
            one["InstanceType"], one["AvailabilityZone"], one["Timestamp"], float(one["SpotPrice"])
        )
        for page in pages
        for one in page["SpotPriceHistory"]
    ]


def usd_of(product: Mapping[str, Any]) -> float | None:
    """The on-demand price of a product of the price list; of several tiers, the dearest.

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
    return [json.loads(one) for page in pages for one in page["PriceList"]]


def _by(products: Iterable[Mapping[str, Any]], attribute: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for product in products:
        name = product["product"]["attributes"].get(attribute, "")
        usd = usd_of(product)
        if name and usd:
            found[name] = max(usd, found.get(name, 0))
    return found


def on_demand(run: Run, machine_types: Iterable[str]) -> dict[str, float]:
    """USD an hour of Linux machines, by type.

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
    """USD a GB and month of EBS volumes, by volume type.

    Raises:
        ClientError: AWS refused or failed.
    """
    wanted = ",".join(volume_types)
    return _by(
        _products(run, "AmazonEC2", productFamily="Storage", volumeApiName=wanted), "volumeApiName"
    )


def requests(run: Run) -> dict[str, float]:
    """USD a request of S3 and SQS.

    Raises:
        ClientError: AWS refused or failed.
    """
    tiers = {"s3_write": "S3-API-Tier1", "s3_read": "S3-API-Tier2"}
    s3 = _by(_products(run, "AmazonS3", group=",".join(tiers.values())), "group")
    found = {name: s3[group] for name, group in tiers.items() if group in s3}
    queues = _by(_products(run, "AWSQueueService", productFamily="API Request"), "queueType")
    return found | ({"sqs": queues["Standard"]} if "Standard" in queues else {})


def prices(
    run: Run,
    machine_types: Sequence[str],
    volume_types: Sequence[str],
    *,
    since: datetime,
    until: datetime,
    of_requests: bool = True,
) -> Prices:
    """Ask for all prices of a run; what cannot be had is named in the answer.

    Args:
        run: The run.
        machine_types: The machine types to price.
        volume_types: The volume types to price.
        since: From when on spot prices are wanted; AWS has those of 90 days.
        until: Until when.
        of_requests: Whether those of S3 and SQS requests are wanted.
    """
    asked: dict[str, Callable[[], Any]] = {
        "spot": lambda: tuple(spot_history(run, machine_types, since, until)),
        "on_demand": lambda: on_demand(run, machine_types),
        "gb_month": lambda: gb_month(run, volume_types),
    }
    if of_requests:
        asked["requests"] = lambda: requests(run)
    with ThreadPoolExecutor(len(asked), thread_name_prefix="prices") as pool:
        answers = dict(zip(asked, pool.map(_answer, asked.values()), strict=True))
    found = {name: one for name, one in answers.items() if one and not isinstance(one, str)}
    region = run.config.aws_region
    sources = []
    if "spot" in found:
        sources.append(
            f"EC2 DescribeSpotPriceHistory of {region}, {since:%Y-%m-%d %H:%M} to "
            f"{until:%Y-%m-%d %H:%M} UTC"
        )
    if found.keys() - {"spot"}:
        sources.append(
            f"AWS Price List (GetProducts of {PRICE_REGION}) for {region}, "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        )
    unknown = tuple(
        f"{WORDS[name]} ({answer or 'AWS told none'})"
        for name, answer in answers.items()
        if name not in found
    )
    return Prices(**found, sources=tuple(sources), unknown=unknown)


WORDS = {
    "spot": "spot prices",
    "on_demand": "on-demand prices",
    "gb_month": "prices of volumes",
    "requests": "prices of S3 and SQS requests",
}
ACTIONS = {"DescribeSpotPriceHistory": "ec2", "GetProducts": "pricing"}


def _answer(ask: Callable[[], Any]) -> Any:
    """The answer, or why there is none."""
    try:
        return ask()
    except AwsError as error:
        action = getattr(error, "operation_name", "")
        named = f"{ACTIONS[action]}:{action} on *" if action in ACTIONS else "AWS"
        return f"{named}: {error_code(error) or type(error).__name__}"
