"""From the `AwsCredentials` block to a session whose credentials last as long as a run."""

import uuid

import boto3
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.session import Session
from prefect_aws import AwsCredentials

METHOD = "assume-role"
DEFAULT_REGION = "us-east-1"


class _AssumedRole(CredentialProvider):
    """A provider of botocore's that has the credentials of the block's role.

    botocore fetches them again before they expire (AWS SDKs and Tools, "Assume role credential
    provider").
    """

    METHOD = METHOD
    CANONICAL_NAME = None

    def __init__(self, block: AwsCredentials) -> None:
        super().__init__()
        self._block = block

    def load(self) -> DeferredRefreshableCredentials | None:
        block = self._block
        base = block.model_copy(update={"assume_role_arn": None}).get_boto3_session()
        source = base.get_credentials()
        if source is None or not block.assume_role_arn:
            return None
        client_parameters = block.aws_client_parameters.get_params_override()
        role_parameters = block.assume_role_kwargs
        session_name = {"RoleSessionName": f"dcp-{uuid.uuid4()}"}
        fetcher = AssumeRoleCredentialFetcher(
            lambda service, **keys: base.client(service, **keys, **client_parameters),
            source,
            block.assume_role_arn,
            extra_args=session_name | role_parameters.get_params_override(),
            # botocore's own prompter waits for a person to type the code of an MFA device.
            mfa_prompter=lambda _: role_parameters.TokenCode or "",
        )
        return DeferredRefreshableCredentials(fetcher.fetch_credentials, METHOD)


def session_of(credentials: AwsCredentials) -> boto3.Session:
    """The session of a credentials block, with credentials that are renewed before they expire.

    boto3 itself renews those of a profile (a role to assume, IAM Identity Center), a container or a
    machine. The role that the block names (`assume_role_arn`) is the exception: the block's own
    `get_boto3_session` assumes it once, and with an endpoint that is not the block's.
    """
    if not credentials.assume_role_arn:
        return credentials.get_boto3_session()
    session = Session(profile=credentials.profile_name)
    provider = _AssumedRole(credentials)
    session.register_component("credential_provider", CredentialResolver([provider]))
    return boto3.Session(botocore_session=session, region_name=credentials.region_name)


def region_of(credentials: AwsCredentials) -> str:
    """The region of the block, else of its profile or the environment, else us-east-1.

    No request is sent, as the block's own session would to assume its role.
    """
    if credentials.region_name:
        return credentials.region_name
    return boto3.Session(profile_name=credentials.profile_name).region_name or DEFAULT_REGION
