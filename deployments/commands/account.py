"""`dcp account`: what an account must have for dcp, made, looked at and removed."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.account.account import Line
    from tasks.account.setup import AccountAws, Setup

SOUND, WRONG, BAD_INPUT = 0, 1, 2
STATUS = "Exit status: 0 all is well, 1 something is missing, differs or failed, 2 bad input."


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp account`."""
    account = commands.add_parser(
        "account",
        help="roles, policies and safety net, once per account and region",
        description="Make, look at or remove what an AWS account must have for dcp: roles, "
        "instance profile, policies, and a safety net that ends machines nobody watches. "
        "All of it carries the tag dcp:account; nothing else is changed.",
    )
    steps = account.add_subparsers(dest="step", required=True)
    create = steps.add_parser(
        "create",
        help="make what is missing, mend what differs",
        description="Make what is missing and mend what differs; can be repeated, and then takes "
        f"what is not given from before. {STATUS}",
    )
    create.set_defaults(call=_create)
    _add_place(create)
    create.add_argument("--bucket", help="bucket of records and logs (aws_bucket)")
    create.add_argument(
        "--inputs", nargs="+", metavar="BUCKET", help="source and workspace buckets, if others"
    )
    create.add_argument("--outputs", nargs="+", metavar="BUCKET", help="destination buckets")
    create.add_argument(
        "--apps",
        nargs="+",
        metavar="BEGINNING",
        help="what names of apps, queues and log groups begin with; left out, anything",
    )
    create.add_argument(
        "--safety-net",
        action=argparse.BooleanOptionalAction,
        help="a Lambda function that ends machines which nobody watches and which have no work",
    )
    create.add_argument(
        "--execution-role",
        action=argparse.BooleanOptionalAction,
        help="a role with which ECS pulls the image from ECR or a private registry",
    )

    flows = create.add_argument_group("flows that run in AWS")
    flows.add_argument(
        "--work-pool", metavar="NAME", help="make this Prefect work pool on ECS, and its roles"
    )
    flows.add_argument("--image", help="image of the flows (deployments/Dockerfile)")
    flows.add_argument("--vpc", help="their network; left out, the account's default one")
    flows.add_argument(
        "--api-key-secret", metavar="ARN", help="secret with the API key of Prefect Cloud"
    )

    check = steps.add_parser(
        "check", help="tell what is there, missing or different", description=STATUS
    )
    check.set_defaults(call=_check)
    _add_place(check)

    destroy = steps.add_parser(
        "destroy",
        help="remove what create made",
        description="Remove what create made and nothing else; refused while machines or fleets "
        f"of dcp are there. {STATUS}",
    )
    destroy.set_defaults(call=_destroy)
    _add_place(destroy)
    destroy.add_argument("--force", action="store_true", help="even while machines are there")

    policy = steps.add_parser(
        "policy",
        help="print a policy",
        description="Print a policy as JSON: of whoever runs the flows, of the worker's "
        "containers, of the safety net, or of who runs dcp account.",
    )
    policy.set_defaults(call=_policy)
    _add_place(policy)
    policy.add_argument("--bucket", help="as for create, where nothing was made yet")
    policy.add_argument(
        "whose", nargs="?", default="flows", choices=["flows", "worker", "safety-net", "admin"]
    )

    bucket = steps.add_parser(
        "bucket-policy",
        help="print the policy that the owner of another account's bucket gives it",
        description="Print, as JSON, the bucket policy with which a bucket of another account is "
        "read, or written to with bucket-owner-full-control. Asks AWS nothing.",
    )
    bucket.set_defaults(call=_bucket_policy)
    bucket.add_argument("--bucket", required=True, help="the other account's bucket")
    bucket.add_argument(
        "--role", required=True, nargs="+", metavar="ARN", help="who reads it: roles or users"
    )
    bucket.add_argument("--write", action="store_true", help="outputs are written there too")
    bucket.add_argument("--prefix", default="", help="only below these keys, such as projects/x/")


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default="dcp", help="name of the set-up (dcp)")
    parser.add_argument("--region", help="left out, the profile's, else us-east-1")
    parser.add_argument("--profile", help="profile of the AWS configuration files")
    parser.add_argument("--credentials", metavar="BLOCK", help="AwsCredentials block to use")


def _create(given: argparse.Namespace) -> int:
    from tasks.account.account import Line, create, settings

    if given.work_pool and not given.image:
        print("dcp account create: --work-pool needs --image, the flows' image", file=sys.stderr)
        return BAD_INPUT
    given.flow_role = True if given.work_pool else None

    def act(aws: "AccountAws", setup: "Setup") -> "list[Line]":
        lines = create(aws, setup)
        if given.work_pool:
            from tasks.account.pool import Pool, make_pool

            state = make_pool(setup, Pool(given.work_pool, given.image, vpc=given.vpc))
            lines.append(Line(f"work pool {given.work_pool}", state))
        if not any(line.wrong for line in lines):
            print("# for the run config")
            for key, value in settings(setup).items():
                print(f"{key}: {value}")
        return lines

    return _done(given, act)


def _check(given: argparse.Namespace) -> int:
    from tasks.account.account import check

    return _done(given, check)


def _destroy(given: argparse.Namespace) -> int:
    from tasks.account.account import destroy

    return _done(given, lambda aws, setup: destroy(aws, setup, given.force))


def _done(given: argparse.Namespace, act: Any) -> int:
    """Do something with the set-up and tell each part; returns the exit status."""
    from blocks.errors import DcpError, InputError
    from tasks.aws import AwsError

    try:
        lines = act(*_opened(given))
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except (DcpError, *AwsError) as error:
        print(error, file=sys.stderr)
        return WRONG
    return _tell(lines) if lines else SOUND


def _opened(given: argparse.Namespace) -> "tuple[AccountAws, Setup]":
    import boto3
    from botocore.exceptions import BotoCoreError
    from prefect_aws import AwsCredentials

    from blocks.errors import AwsRefused, Problem
    from blocks.sources import load_block
    from tasks.account.setup import FLAGS, SEVERAL, AccountAws, open_setup

    if given.credentials:
        credentials = load_block(AwsCredentials, given.credentials)
    else:
        credentials = AwsCredentials(profile_name=given.profile)
    try:
        own = boto3.session.Session(profile_name=given.profile).region_name
        region = given.region or credentials.region_name or own or "us-east-1"
        aws = AccountAws.connect(credentials, region)
    except BotoCoreError as error:
        raise AwsRefused(Problem("account", "", f"cannot be looked at: {error}")) from error
    asked = {
        key: getattr(given, key, None) for key in ("bucket", "api_key_secret", *SEVERAL, *FLAGS)
    }
    chosen = {key: value for key, value in asked.items() if value is not None}
    return aws, open_setup(aws, region, given.name, chosen)


def _tell(lines: "Sequence[Line]") -> int:
    for line in lines:
        print(line, file=sys.stderr if line.wrong else sys.stdout)
    wrong = [line for line in lines if line.wrong]
    print(f"{len(lines)} parts: {len(lines) - len(wrong)} well, {len(wrong)} not")
    return WRONG if wrong else SOUND


def _policy(given: argparse.Namespace) -> int:
    from tasks.account.account import policy_of

    def act(aws: "AccountAws", setup: "Setup") -> "list[Line]":
        print(json.dumps(policy_of(setup, given.whose), indent=2))
        return []

    return _done(given, act)


def _bucket_policy(given: argparse.Namespace) -> int:
    from blocks.errors import InputError
    from tasks.account.buckets import for_other_account

    try:
        policy = for_other_account(given.bucket, tuple(given.role), given.write, given.prefix)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    print(json.dumps(policy, indent=2))
    return SOUND
