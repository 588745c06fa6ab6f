"""`dcp account`: creates, checks and removes the resources that dcp needs in an AWS account."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from deployments.cli.commands.options import AwsOptions
from deployments.exit_status import ExitStatus

if TYPE_CHECKING:
    from blocks.errors import Problem
    from tasks.account.provision import ResourceResult
    from tasks.account.setup_config import AccountAws, Setup

Buckets = Annotated[tuple[str, ...], Parameter(metavar="BUCKET", consume_multiple=(1, None))]
BucketOfRecords = Annotated[str | None, Parameter(metavar="BUCKET")]
FLOWS = Group("Flows that run in AWS", sort_key=1)

account = App(
    name="account",
    help="""Set up an AWS account for dcp: roles, policies and safety net, once per region.

    Create, check or remove the resources that dcp needs in an AWS account: roles, instance profile,
    policies, and a safety net that terminates machines no flow monitors. All of them have the tag
    dcp:account; nothing else is changed.""",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SetupOptions(AwsOptions):
    """Selects the set-up of an account.

    Attributes:
        name: name of the set-up (default: dcp)
        credentials: name of an AwsCredentials block
    """

    name: Annotated[str, Parameter(metavar="NAME")] = "dcp"
    credentials: Annotated[str | None, Parameter(metavar="BLOCK")] = None

    def open(self, **chosen: Any) -> "tuple[AccountAws, Setup]":
        """The clients, and the set-up with the chosen options.

        Raises:
            InputError: An option is wrong, or AWS refuses the credentials.
        """
        from blocks.errors import ConfigError
        from blocks.loading.load import load_credentials
        from tasks.account.setup_config import AccountAws, open_setup

        if self.credentials:
            from blocks.credentials.sessions import region_of

            credentials = load_credentials(self.credentials)
            region = self.region or region_of(credentials)
        else:
            credentials, region = self.credentials_and_region()
        aws = AccountAws.connect(credentials, region)
        options = {key: value for key, value in chosen.items() if value not in (None, ())}
        try:
            return aws, open_setup(aws, region, self.name, options)
        except ConfigError as error:
            raise ConfigError(*map(_as_typed, error.problems)) from error


def _as_typed(problem: "Problem") -> "Problem":
    """A problem of a set-up as a problem of the option on the command line."""
    if problem.where != "account" or not problem.key:
        return problem
    return replace(problem, where="", key=f"--{problem.key.replace('_', '-')}")


@account.command
def create(
    *,
    setup: SetupOptions = SetupOptions(),
    bucket: BucketOfRecords = None,
    inputs: Buckets = (),
    outputs: Buckets = (),
    apps: Annotated[tuple[str, ...], Parameter(metavar="PREFIX", consume_multiple=(1, None))] = (),
    safety_net: Annotated[bool | None, Parameter(negative="--no-safety-net")] = None,
    execution_role: Annotated[bool | None, Parameter(negative="--no-execution-role")] = None,
    work_pool: Annotated[str | None, Parameter(group=FLOWS, metavar="NAME")] = None,
    image: Annotated[str | None, Parameter(group=FLOWS, metavar="IMAGE")] = None,
    vpc: Annotated[str | None, Parameter(group=FLOWS, metavar="VPC")] = None,
    api_key_secret: Annotated[str | None, Parameter(group=FLOWS, metavar="ARN")] = None,
) -> int:
    """Create missing resources and repair changed ones.

    Safe to repeat: omitted options keep their previous values.

    Exit status: 0 all resources are in place, 1 a resource could not be created or repaired, 2 bad
    input.

    Args:
        bucket: bucket of records and logs (aws_bucket)
        inputs: source or workspace bucket, if it differs from --bucket; repeat the option for
            several
        outputs: destination bucket, if it differs from --bucket; repeat the option for several
        apps: allowed name prefix of apps, queues and log groups (default: any); repeat the option
            for several
        safety_net: a Lambda function that terminates idle machines that no flow monitors
        execution_role: a role with which ECS pulls the image from ECR or a private registry
        work_pool: create this Prefect work pool on ECS, and its roles
        image: image of the flows (deployments/Dockerfile)
        vpc: network of the flows (default: the account's default one)
        api_key_secret: secret with the API key of Prefect Cloud
    """
    from blocks.errors import ConfigError, Problem
    from tasks.account import provision as whole

    if work_pool and not image:
        remedy = "Name the flows' image, built with deployments/Dockerfile."
        raise ConfigError(Problem("--work-pool", "", "needs --image", remedy=remedy))

    def act(aws: "AccountAws", setup_config: "Setup") -> "list[ResourceResult]":
        lines = whole.create(aws, setup_config)
        if work_pool and image:
            from tasks.account.ecs_work_pool import WorkPoolSettings, ensure_work_pool

            state = ensure_work_pool(setup_config, WorkPoolSettings(work_pool, image, vpc=vpc))
            lines.append(whole.ResourceResult(f"work pool {work_pool}", state))
        if not any(line.needs_attention for line in lines):
            print("# for the run config")
            for key, value in whole.config_values(setup_config).items():
                print(f"{key}: {value}")
        return lines

    return _report(
        act,
        setup,
        bucket=bucket,
        inputs=inputs,
        outputs=outputs,
        apps=apps,
        safety_net=safety_net,
        execution_role=execution_role,
        flow_role=True if work_pool else None,
        api_key_secret=api_key_secret,
    )


@account.command
def check(*, setup: SetupOptions = SetupOptions()) -> int:
    """List existing, missing and changed resources.

    Exit status: 0 all resources are in place, 1 some are missing or differ, 2 bad input.
    """
    from tasks.account import provision as whole

    return _report(whole.check, setup)


@account.command
def destroy(*, setup: SetupOptions = SetupOptions(), force: bool = False) -> int:
    """Remove the resources that `dcp account create` created, and nothing else.

    Refuses while dcp machines or fleets exist.

    Exit status: 0 all resources are removed, 1 a resource could not be removed, 2 bad input.

    Args:
        force: remove the resources even while machines exist
    """
    from tasks.account import provision as whole

    return _report(lambda aws, setup_config: whole.destroy(aws, setup_config, force), setup)


@account.command(usage="dcp account policy [OPTIONS] [WHOSE]")
def policy(
    whose: Literal["flows", "worker", "safety-net", "admin"] = "flows",
    /,
    *,
    setup: SetupOptions = SetupOptions(),
    bucket: BucketOfRecords = None,
) -> int:
    """Print a policy.

    Print a policy as JSON: for the user or role that runs the flows, for the worker containers, for
    the safety net, or for the administrator who runs `dcp account`.

    Exit status: 0 the policy was printed, 1 AWS failed, 2 bad input.

    Args:
        whose: user of the policy (default: flows)
        bucket: bucket of records and logs; needed only before `dcp account create` has run
    """
    from tasks.account.provision import policy_of

    _, setup_config = setup.open(bucket=bucket)
    print(json.dumps(policy_of(setup_config, whose), indent=2))
    return ExitStatus.OK


@account.command
def bucket_policy(
    *,
    bucket: Annotated[str, Parameter(metavar="BUCKET")],
    role: Annotated[tuple[str, ...], Parameter(metavar="ARN", consume_multiple=(1, None))],
    write: bool = False,
    prefix: Annotated[str | None, Parameter(metavar="PREFIX")] = None,
) -> int:
    """Print the policy that the owner of another account's bucket attaches to it.

    Print, as JSON, the bucket policy that lets this account read a bucket of another account, and
    write to it with --write (ACL bucket-owner-full-control). Calls no AWS API.

    Exit status: 0 the policy was printed, 2 bad input.

    Args:
        bucket: the other account's bucket
        role: ARN of a role or user that needs access; repeat the option for several
        write: also allow writing outputs
        prefix: limit access to this key prefix, such as projects/x/
    """
    from tasks.account.bucket_policies import for_other_account

    print(json.dumps(for_other_account(bucket, role, write, prefix or ""), indent=2))
    return ExitStatus.OK


def _report(
    act: "Callable[[AccountAws, Setup], Sequence[ResourceResult]]",
    setup: SetupOptions,
    **options: Any,
) -> int:
    """Apply `act` to the set-up and print each resource; returns the exit status."""
    from blocks.errors import DcpError
    from tasks.aws.errors import AwsError

    aws, setup_config = setup.open(**options)
    try:
        lines = act(aws, setup_config)
    except AwsError as error:
        raise DcpError(str(error)) from error  # not bad input: the credentials were accepted
    for line in lines:
        print(line, file=sys.stderr if line.needs_attention else sys.stdout)
    attention = [line for line in lines if line.needs_attention]
    print(
        f"{len(lines)} resources: {len(lines) - len(attention)} ok, {len(attention)} need attention"
    )
    return ExitStatus.PROBLEM if attention else ExitStatus.OK
