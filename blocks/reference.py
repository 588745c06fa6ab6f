"""Writes docs/configuration.md from the run config: `python -m blocks.reference`."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from blocks.problems import allowed_values
from blocks.run_config import RunConfig
from blocks.settings import GROUPS, extra_of
from blocks.upload import UploadOptions

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"

_INTRODUCTION = """\
# Configuration

All settings of a run. They have the names of Distributed-CellProfiler's `config.py`, in lower \
case. A run config is a YAML or JSON file, or a block saved in the Prefect UI; keys may stand \
alone or below the heading of their section:

```yaml
app_name: 2024_Batch1
aws_bucket: my-bucket
dockerhub_tag: my-account/dcp-worker:1.0
fleet:
  cluster_machines: 10
  machine_type: [m5.xlarge, m5a.xlarge]
aws_credentials: my-account   # name of a saved AwsCredentials block, or its fields
```

Unknown keys are errors. `'True'` and `'False'` are read as true and false. An empty text means \
that a setting is left out.

Between settings: each container has `ebs_vol_size / tasks_per_machine - 2` GB of disk, at least \
1 GB; each CellProfiler has at least 500 MB of `memory` and 256 `cpu_shares` (fewer than 1024 let \
CellProfilers share vCPUs); a bucket with a dot in its name cannot be mounted; `upload` and \
`upload_flags` exclude each other; plugin settings need `use_plugins`; the dead-letter queue is \
another queue than that of the jobs.

This page is made by `python -m blocks.reference`.
"""


def configuration_page() -> str:
    """The text of docs/configuration.md."""
    return "\n".join([_INTRODUCTION, *(line for group in GROUPS for line in _section(group))])


def _section(group: str) -> Iterator[str]:
    yield f"## {GROUPS[group]} (`{group}`)\n"
    yield "| key | meaning | allowed | default |"
    yield "|---|---|---|---|"
    for key, field in RunConfig.model_fields.items():
        if extra_of(field)["group"] == group:
            cells = (f"`{key}`", field.description, allowed_values(RunConfig, key), _default(field))
            yield _row(cells)
    yield ""
    if group == "buckets":
        yield from _upload()


def _upload() -> Iterator[str]:
    yield "Keys of `upload`:\n"
    yield "| key | meaning | allowed |"
    yield "|---|---|---|"
    for key, field in UploadOptions.model_fields.items():
        yield _row((f"`{key}`", field.description, allowed_values(UploadOptions, key)))
    yield ""


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    if text := extra_of(field)["default_text"]:
        return str(text)
    match field.default:
        case bool():
            return str(field.default).lower()
        case "":
            return "empty"
        case list():
            return ", ".join(field.default)
        case _:
            return str(field.default)


if __name__ == "__main__":
    PAGE.write_text(configuration_page(), encoding="utf-8")
