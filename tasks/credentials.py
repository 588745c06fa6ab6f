"""From the `AwsCredentials` block to a session whose credentials last as long as a run."""

import functools
import uuid
from typing import Any

import boto3
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.session import Session

from blocks import AwsCredentials

METHOD = "assume-role"


class _AssumedRole(CredentialProvider):
    """A provider of botocore's that has the credentials of one role, renewed as they expire."""

    METHOD = METHOD
    CANONICAL_NAME = None

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, METHOD)


def session_of(credentials: AwsCredentials) -> boto3.Session:
    """The session of a credentials block.

    boto3 renews what comes from a profile (a role to assume, IAM Identity Center), a container or a
    machine by itself. A role that the block itself names (`role_arn`, in later versions of
    prefect-aws) is assumed by the block once, for an hour or what `DurationSeconds` says: too short
    for a run. Here botocore assumes it, and again before the credentials expire (AWS SDKs and
    Tools, "Assume role credential provider").
    """
    role = getattr(credentials, "role_arn", None)
    if not role:
        own: boto3.Session = credentials.get_boto3_session()
        return own
    session = Session(profile=credentials.profile_name)
    if credentials.aws_access_key_id and credentials.aws_secret_access_key:
        session.set_credentials(
            credentials.aws_access_key_id,
            credentials.aws_secret_access_key.get_secret_value(),
            credentials.aws_session_token,
        )
    parameters = credentials.aws_client_parameters.get_params_override()
    fetcher = AssumeRoleCredentialFetcher(
        functools.partial(session.create_client, region_name=credentials.region_name, **parameters),
        session.get_credentials(),
        role,
        extra_args=_arguments(credentials),
    )
    assumed = Session(profile=credentials.profile_name)
    assumed.register_component("credential_provider", CredentialResolver([_AssumedRole(fetcher)]))
    return boto3.Session(botocore_session=assumed, region_name=credentials.region_name)


def _arguments(credentials: AwsCredentials) -> dict[str, Any]:
    """The other arguments of AssumeRole, such as ExternalId."""
    given = getattr(credentials, "assume_role_kwargs", None)
    told: dict[str, Any] = given.get_params_override() if given is not None else {}
    return {"RoleSessionName": f"dcp-{uuid.uuid4()}"} | told
