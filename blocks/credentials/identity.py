"""Credentials for AWS: the defaults of AWS tools, or a credentials block of Prefect.

Needs neither Prefect nor boto3; `blocks.credentials.sessions` creates sessions from them.
"""

from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from pydantic import BaseModel, ConfigDict, SecretStr

if TYPE_CHECKING:
    import boto3


@runtime_checkable
class CredentialsBlock(Protocol):
    """The part of prefect-aws's block AwsCredentials that dcp uses."""

    profile_name: str | None
    region_name: str | None
    aws_access_key_id: str | None
    aws_secret_access_key: SecretStr | None
    aws_session_token: str | None
    aws_client_parameters: Any
    assume_role_arn: str | None
    assume_role_kwargs: Any

    def get_boto3_session(self) -> "boto3.Session":
        """A session with these credentials."""
        ...

    def model_copy(self, *, update: dict[str, Any]) -> Self:
        """A copy with some fields replaced."""
        ...


class DefaultCredentials(BaseModel):
    """The default credentials of AWS tools: environment, profile, machine."""

    model_config = ConfigDict(frozen=True)

    profile_name: str | None = None
    region_name: str | None = None


Credentials = DefaultCredentials | CredentialsBlock
