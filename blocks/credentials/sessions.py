"""Sessions from credentials, renewed for as long as a run lasts."""

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

from blocks.credentials.identity import Credentials, CredentialsBlock, DefaultCredentials

METHOD = "assume-role"
DEFAULT_REGION = "us-east-1"


class _AssumedRole(CredentialProvider):
    """A botocore provider of the credentials of the block's role.

    botocore renews them before they expire (AWS SDKs and Tools, "Assume role credential provider").
    """

    METHOD = METHOD
    CANONICAL_NAME = None

    def __init__(self, block: CredentialsBlock) -> None:
        super().__init__()
        self._block = block

    def load(self) -> DeferredRefreshableCredentials | None:
        block = self._block
        base = block.model_copy(update={"assume_role_arn": None}).get_boto3_session()
        source = base.get_credentials()
        if source is None or not block.assume_role_arn:
            return None
        parameters = client_parameters(block)
        role_parameters = block.assume_role_kwargs
        session_name = {"RoleSessionName": f"dcp-{uuid.uuid4()}"}
        fetcher = AssumeRoleCredentialFetcher(
            lambda service, **keys: base.client(service, **keys, **parameters),
            source,
            block.assume_role_arn,
            extra_args=session_name | role_parameters.get_params_override(),
            # botocore's own prompter waits for a person to type an MFA code.
            mfa_prompter=lambda _: role_parameters.TokenCode or "",
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, METHOD)


def session_of(credentials: Credentials) -> boto3.Session:
    """A session with these credentials, which are renewed before they expire.

    boto3 itself renews those of a profile (a role to assume, IAM Identity Center), a container or a
    machine. A block's role (`assume_role_arn`) is the exception: the block's `get_boto3_session`
    assumes it only once, and ignores the block's endpoint.
    """
    profile, region = credentials.profile_name, credentials.region_name
    if isinstance(credentials, DefaultCredentials):
        return boto3.Session(profile_name=profile, region_name=region)
    if not credentials.assume_role_arn:
        return credentials.get_boto3_session()
    session = Session(profile=profile)
    provider = _AssumedRole(credentials)
    session.register_component("credential_provider", CredentialResolver([provider]))
    return boto3.Session(botocore_session=session, region_name=region)


def client_parameters(credentials: Credentials) -> dict[str, Any]:
    """A block's client parameters for boto3, such as another endpoint."""
    if isinstance(credentials, DefaultCredentials):
        return {}
    parameters: dict[str, Any] = credentials.aws_client_parameters.get_params_override()
    return parameters


def region_of(credentials: Credentials) -> str:
    """The region of the credentials, else of the profile or environment, else us-east-1.

    Sends no request, unlike the block's own session, which would assume its role.
    """
    if credentials.region_name:
        return credentials.region_name
    return boto3.Session(profile_name=credentials.profile_name).region_name or DEFAULT_REGION
