"""Parameters that several flows share, with the descriptions that Prefect's form shows."""

from typing import Annotated, Any

from pydantic import Field

Config = Annotated[str, Field(description="Run config: block name, local path or s3:// path.")]
Job = Annotated[str, Field(description="Job file: block name, local path or s3:// path.")]
Fleet = Annotated[
    str | None,
    Field(
        description="Fleet template or DCP fleet file: block name, local path or s3:// path "
        "(default: the template of the existing run; for a new run, the account's default network)."
    ),
]
Credentials = Annotated[
    str | None,
    Field(
        description="AwsCredentials block (default: the run config's own, else AWS's default "
        "credential chain)."
    ),
]
Settings = Annotated[
    dict[str, Any] | None,
    Field(description="Keys of the run config to override."),
]
RunId = Annotated[str | None, Field(description="Id of the run (default: the app's newest run).")]
Plates = Annotated[
    list[str] | None, Field(description="Plates to run instead of the job file's own.")
]
Undone = Annotated[
    bool, Field(description="Skip the jobs that an earlier run of the app completed.")
]
AcceptCost = Annotated[
    bool, Field(description="Start even if the estimated cost exceeds the config's cost_limit.")
]
Accept = Annotated[
    list[str] | None,
    Field(
        description="Codes of preflight errors in spite of which the run starts, such as "
        "image_missing; the jobs concerned will fail."
    ),
]
Regions = Annotated[
    list[str] | None,
    Field(description="AWS regions to search (default: the region of the credentials)."),
]
