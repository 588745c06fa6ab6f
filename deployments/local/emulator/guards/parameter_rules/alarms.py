"""CloudWatch: alarms, metrics and dashboards.

Sources, in the Amazon CloudWatch API Reference: PutMetricAlarm, PutMetricData, PutDashboard,
DeleteAlarms; in the Amazon CloudWatch User Guide: "CloudWatch service quotas".
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from deployments.local.emulator.guards.parameter_rules.rule import Rule, RuleViolation

MOST_FIGURES = 1000
MOST_VALUES = 150
DAY, WEEK = 86_400, 604_800
SHORT_PERIODS = (10, 20, 30)
MOST_WIDGETS = 500


def put_metric_alarm(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """PutMetricAlarm."""
    period, times = params.get("Period", 60), params.get("EvaluationPeriods", 1)
    if period not in SHORT_PERIODS and (period <= 0 or period % 60):
        yield RuleViolation("ValidationError", f"Period {period}: 10, 20, 30, or a multiple of 60")
    # At most one day, or a week if the period is an hour or more.
    if period * times > (WEEK if period >= 3600 else DAY):
        yield RuleViolation("ValidationError", "Metrics cannot be checked across more than a day")
    if "MetricName" in params and "Metrics" in params:
        text = "MetricName and Metrics exclude each other"
        yield RuleViolation("InvalidParameterCombination", text)
    if "MetricName" in params and ("Statistic" in params) == ("ExtendedStatistic" in params):
        text = "Exactly one of Statistic and ExtendedStatistic must be given with MetricName"
        yield RuleViolation("InvalidParameterCombination", text)
    missing = params.get("TreatMissingData", "missing")
    if missing not in ("breaching", "notBreaching", "ignore", "missing"):
        yield RuleViolation("ValidationError", f"TreatMissingData {missing!r} is unknown")


def put_metric_data(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """PutMetricData."""
    figures = params.get("MetricData", [])
    if len(figures) > MOST_FIGURES:
        text = f"The collection MetricData must not have a size greater than {MOST_FIGURES}."
        yield RuleViolation("InvalidParameterValue", text)
    if params["Namespace"].startswith("AWS/"):
        text = "The value AWS/ for parameter Namespace is invalid: it is reserved"
        yield RuleViolation("InvalidParameterValue", text)
    for figure in figures:
        kinds = [name for name in ("Value", "Values", "StatisticValues") if name in figure]
        if len(kinds) != 1:
            text = f"MetricData has exactly one of Value, Values and StatisticValues, not {kinds}"
            yield RuleViolation("InvalidParameterCombination", text)
        if len(figure.get("Values", [])) > MOST_VALUES:
            yield RuleViolation("InvalidParameterValue", f"Values has at most {MOST_VALUES} items")


def put_dashboard(params: Mapping[str, Any]) -> Iterator[RuleViolation]:
    """PutDashboard: "Dashboard body structure and syntax" of the API reference."""
    code = "InvalidParameterInput"
    try:
        body = json.loads(params["DashboardBody"])
    except ValueError as error:
        yield RuleViolation(code, f"The field DashboardBody must be a valid JSON object: {error}")
        return
    widgets = body.get("widgets") if isinstance(body, dict) else None
    if not isinstance(widgets, list) or len(widgets) > MOST_WIDGETS:
        yield RuleViolation(
            code, f"The dashboard body has a list of at most {MOST_WIDGETS} widgets"
        )
        return
    for number, widget in enumerate(widgets):
        if not {"type", "properties"} <= widget.keys():
            yield RuleViolation(code, f"/widgets/{number}: type and properties are required")
        if not 1 <= widget.get("width", 6) <= 24 or not 1 <= widget.get("height", 6) <= 1000:
            yield RuleViolation(code, f"/widgets/{number}: width is 1 to 24, height 1 to 1000")


RULES: dict[str, Rule] = {
    "PutMetricAlarm": put_metric_alarm,
    "PutMetricData": put_metric_data,
    "PutDashboard": put_dashboard,
}
