"""The fields of a run config: every setting of a run, and the values derived from them.

The names are those of DCP's config.py in lower case. The attributes are flat, as a DCP user knows
them; the groups order the form in the Prefect UI and the sections of the YAML file.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_serializer,
    field_validator,
)

from blocks.credentials.identity import Credentials, CredentialsBlock, DefaultCredentials
from blocks.errors import Refusal
from blocks.fields import (
    AppName,
    Bucket,
    ClusterName,
    Image,
    MachineTypes,
    OptionalAmount,
    OptionalBucket,
    OptionalLogGroup,
    OptionalNumber,
    OptionalQueue,
    OptionalText,
    Region,
    form_title,
    setting,
)
from blocks.resource_names import Names
from blocks.run_config.upload import UploadOptions
from blocks.run_config.upload_flags import parse_upload_flags

OptionalCredentials = Annotated[
    CredentialsBlock | None,
    WithJsonSchema({"allowed": "the name of a saved block, or a mapping of its fields"}),
]

RETIRED = {
    "auto_monitor": "Every full run is monitored to its end without a Lambda function or topic.",
    "ssh_key_name": "The key pair of the machines is key_name of the fleet template.",
}
"""Keys of DCP's config.py and of earlier run configs that have no effect, each with the reason."""


class RunConfigFields(BaseModel):
    """All settings of a run, each valid by itself; `RunConfig` checks them against each other."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        # Otherwise an error would print its input, including secrets.
        hide_input_in_errors=True,
        field_title_generator=form_title,
    )

    app_name: AppName = setting(
        "run", "DistributedCP", "App name. All names in AWS are derived from it."
    )
    dockerhub_tag: Image = setting(
        "run", description="Container image of the worker, built with worker/Dockerfile."
    )
    max_hours: int = setting(
        "run",
        72,
        "Maximum lifetime of the fleet; AWS itself terminates the machines after it.",
        unit="h",
        ge=1,
        le=8760,
    )
    cost_limit: OptionalAmount = setting(
        "run",
        None,
        "Require confirmation if the estimated cost of a run exceeds this.",
        unit="USD",
        default_text="no limit",
        gt=0,
        le=100_000,
        allow_inf_nan=False,
    )
    max_cost: OptionalAmount = setting(
        "run",
        None,
        "Budget for machines. Once it is spent, running jobs finish and no new ones start; the "
        "rest stay in the queue.",
        unit="USD",
        default_text="no limit",
        gt=0,
        le=100_000,
        allow_inf_nan=False,
    )
    stall_minutes: OptionalNumber = setting(
        "run",
        None,
        "Stop the run if no running job finishes for this long.",
        unit="min",
        default_text="ten times the job duration so far, at least 60; job_timeout before the first",
        ge=1,
        le=10_080,
    )
    alike_failures: int = setting(
        "run",
        20,
        "Stop the run if the first N jobs all fail for the same reason (0: never).",
        ge=0,
        le=1_000_000,
    )
    cheapest: bool = setting(
        "run",
        False,
        "After 15 minutes, stop replacing interrupted machines (one is always kept).",
    )
    seconds_per_job: OptionalAmount = setting(
        "run",
        None,
        "Expected duration of a job, for the estimate of cost and hours.",
        unit="s",
        default_text="as in earlier runs of the app with the same pipeline",
        gt=0,
        le=42_900,
        allow_inf_nan=False,
    )

    aws_region: Region = setting("aws", "us-east-1", "Region of all resources.")
    aws_profile: OptionalText = setting(
        "aws",
        None,
        "Profile of the AWS configuration files; excludes keys in aws_credentials.",
        default_text="the default credentials of AWS tools",
    )
    aws_credentials: OptionalCredentials = setting(
        "aws",
        None,
        "Credentials of the account, optionally with another endpoint for AWS.",
        default_text="the default credentials of AWS tools",
        repr=False,
    )

    aws_bucket: Bucket = setting("buckets", description="Bucket of run records and exported logs.")
    source_bucket: OptionalBucket = setting(
        "buckets", None, "Bucket of the images.", default_text="aws_bucket"
    )
    workspace_bucket: OptionalBucket = setting(
        "buckets",
        None,
        "Bucket of pipelines and LoadData CSVs.",
        default_text="source_bucket, else aws_bucket",
    )
    destination_bucket: OptionalBucket = setting(
        "buckets", None, "Bucket of the outputs.", default_text="aws_bucket"
    )
    no_sign_request: bool = setting(
        "buckets",
        False,
        "Read the bucket of the images without credentials (public buckets).",
    )
    upload: UploadOptions = setting(
        "buckets",
        description="How outputs are stored.",
        default_factory=UploadOptions,
        default_text="the bucket's defaults",
        allowed="a mapping of the keys below",
    )
    upload_flags: str = setting(
        "buckets",
        "",
        "The upload options as flags of `aws s3 mv`, such as `--acl bucket-owner-full-control`.",
    )
    download_files: bool = setting(
        "buckets",
        True,
        "Download the images of each job (true), or mount the bucket of the images (false).",
    )

    ecs_cluster: ClusterName = setting(
        "fleet", "default", "ECS cluster; the cluster `default` is never deleted."
    )
    cluster_machines: int = setting("fleet", 3, "Number of machines.", ge=1, le=10_000)
    tasks_per_machine: int = setting("fleet", 1, "Containers on each machine.", ge=1, le=1000)
    machine_type: MachineTypes = setting(
        "fleet", ["m5.xlarge"], "EC2 machine types to choose from.", min_length=1, max_length=300
    )
    machine_price: float = setting(
        "fleet",
        0.20,
        "Maximum price of a machine.",
        unit="USD/hour",
        gt=0,
        le=1000,
        allow_inf_nan=False,
    )
    ebs_vol_size: int = setting(
        "fleet",
        30,
        "Disk size of each machine; each container gets size / tasks_per_machine - 2 GB.",
        unit="GB",
        ge=22,
        le=16_384,
    )
    assign_ip: bool = setting("fleet", True, "Give each machine a public IP address.")

    docker_cores: int = setting(
        "container", 4, "CellProfiler processes in each container.", ge=1, le=192
    )
    cpu_shares: OptionalNumber = setting(
        "container",
        None,
        "CPU units of each container; 1024 are one vCPU.",
        unit="CPU units",
        default_text="docker_cores * 1024",
        ge=128,
        le=196_608,
    )
    memory: int = setting(
        "container", 15_000, "Memory of each container.", unit="MB", ge=500, le=25_165_824
    )
    seconds_to_start: int = setting(
        "container",
        10,
        "Delay between the starts of a container's CellProfiler processes.",
        unit="s",
        ge=0,
        le=3600,
    )

    idle_seconds: int = setting(
        "container",
        600,
        "Machines terminate themselves after the queue has been empty, with no job running, for "
        "this long.",
        unit="s",
        ge=10,
        le=86_400,
    )
    idle_action: Literal["terminate", "reboot"] = setting(
        "container",
        "terminate",
        "Action on a machine whose CPU was idle for 15 minutes.",
    )
    task_role: OptionalText = setting(
        "container",
        None,
        "IAM role of the worker, by name or ARN.",
        default_text="the role of the machine",
    )

    execution_role: OptionalText = setting(
        "container",
        None,
        "IAM role with which ECS pulls the image from a private registry, by name or ARN.",
        default_text="the role of the machine",
    )

    sqs_queue_name: OptionalQueue = setting(
        "queue", None, "Queue of the jobs.", default_text="app_name and Queue"
    )
    sqs_message_visibility: int = setting(
        "queue",
        60,
        "Visibility timeout: how soon a job is retried after its worker disappears. Workers extend "
        "it while they run a job.",
        unit="s",
        ge=15,
        le=43_200,
    )
    sqs_dead_letter_queue: OptionalQueue = setting(
        "queue",
        None,
        "Dead-letter queue of the failed jobs; may be shared between apps, is never deleted.",
        default_text="app_name and DeadMessages",
    )
    job_retries: int = setting(
        "queue",
        3,
        "Failed attempts before a job goes to the dead-letter queue.",
        ge=1,
        le=1000,
    )
    job_timeout: int = setting(
        "queue",
        41_400,
        "Time limit of one attempt. SQS makes a job visible again after 12 h in any case.",
        unit="s",
        ge=1,
        le=42_900,
    )

    check_if_done_bool: bool = setting("skip", False, "Skip a job whose outputs already exist.")
    check_if_done_exact: bool = setting(
        "skip",
        False,
        "Skip a job that an earlier run completed with the same pipeline and CSV, if all its "
        "outputs still exist.",
    )
    expected_number_files: int = setting(
        "skip", 7, "Number of output files of a completed job.", ge=1, le=1_000_000
    )
    min_file_size_bytes: int = setting(
        "skip",
        1,
        "Minimum size of a file to be counted.",
        unit="bytes",
        ge=0,
        le=5_000_000_000_000,
    )
    necessary_string: str = setting(
        "skip", "", "Count only files with this text in their name.", default_text="any name"
    )

    warm: bool = setting(
        "cellprofiler",
        True,
        "Keep CellProfiler loaded between jobs (true), or restart it for each job (false).",
    )
    always_continue: bool = setting(
        "cellprofiler",
        False,
        "Continue with the remaining image sets if one fails. Running out of memory or disk still "
        "fails the job.",
    )
    use_plugins: bool = setting("cellprofiler", False, "Use the CellProfiler plugins.")
    update_plugins: bool = setting(
        "cellprofiler", False, "Download the plugins instead of using those of the image."
    )
    plugins_commit: OptionalText = setting(
        "cellprofiler", None, "Commit, tag or branch of the plugins.", default_text="the newest"
    )
    install_requirements: bool = setting(
        "cellprofiler", False, "Install the requirements of the plugins."
    )
    requirements: OptionalText = setting(
        "cellprofiler",
        None,
        "Which requirements of the plugins to install.",
        default_text="nothing",
    )

    monitor_seconds: int = setting(
        "monitor", 60, "Polling interval of the monitor.", unit="s", ge=1, le=3600
    )
    create_dashboard: bool = setting("monitor", True, "Create a CloudWatch dashboard.")
    clean_dashboard: bool = setting("monitor", True, "Delete the dashboard after the run.")
    log_group_name: OptionalLogGroup = setting(
        "monitor", None, "CloudWatch log group of the jobs.", default_text="app_name"
    )

    @field_validator("machine_type")
    @classmethod
    def _each_type_once(cls, types: list[str]) -> list[str]:
        if len(set(types)) < len(types):
            raise Refusal("names a machine type twice")
        return types

    @field_validator("upload_flags")
    @classmethod
    def _known_flags(cls, flags: str) -> str:
        parse_upload_flags(flags)
        return flags

    @field_serializer("aws_credentials", mode="wrap")
    def _mask_session_token(
        self, value: Any, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> Any:
        """prefect-aws keeps the session token as plain text: mask it like the secret key."""
        data = handler(value)
        include_secrets = isinstance(info.context, dict) and info.context.get("include_secrets")
        if isinstance(data, dict) and data.get("aws_session_token") and not include_secrets:
            data["aws_session_token"] = "**********"
        return data

    @property
    def names(self) -> Names:
        """The names of all resources of the run in AWS."""
        return Names.of(
            self.app_name, self.sqs_queue_name, self.sqs_dead_letter_queue, self.log_group_name
        )

    @property
    def credentials(self) -> Credentials:
        """The credentials to call AWS with: aws_credentials, in this region, with this profile."""
        update: dict[str, Any] = {"region_name": self.aws_region}
        if self.aws_profile and self.aws_profile != "default":
            update["profile_name"] = self.aws_profile
        return (self.aws_credentials or DefaultCredentials()).model_copy(update=update)

    @property
    def images_bucket(self) -> str:
        """The bucket of the images."""
        return self.source_bucket or self.aws_bucket

    @property
    def workspace(self) -> str:
        """The bucket of the pipelines and LoadData CSVs."""
        return self.workspace_bucket or self.images_bucket

    @property
    def outputs_bucket(self) -> str:
        """The bucket of the outputs."""
        return self.destination_bucket or self.aws_bucket

    @property
    def upload_arguments(self) -> dict[str, Any]:
        """The upload options as boto3's ExtraArgs."""
        options = parse_upload_flags(self.upload_flags) if self.upload_flags else self.upload
        return options.arguments()

    def buckets(self) -> tuple[str, ...]:
        """All buckets of the run, each once."""
        buckets = (self.aws_bucket, self.images_bucket, self.workspace, self.outputs_bucket)
        return tuple(dict.fromkeys(buckets))

    @property
    def cpu_units(self) -> int:
        """CPU units of each container (1024 per vCPU)."""
        return self.cpu_shares or self.docker_cores * 1024

    @property
    def containers(self) -> int:
        """Number of containers of the run, which is the service's desired count."""
        return self.cluster_machines * self.tasks_per_machine

    @property
    def disk_per_container(self) -> float:
        """Disk space of each container in GB (DCP's rule)."""
        return self.ebs_vol_size / self.tasks_per_machine - 2
