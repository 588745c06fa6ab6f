"""Reads the user's sources: a saved Prefect block, a file, or an object in S3.

A source is the name of a block, the path of a file, or `s3://bucket/key`.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from blocks.credentials.identity import Credentials, DefaultCredentials
from blocks.errors import (
    AwsRefused,
    AwsUnreachable,
    ConfigError,
    NotFound,
    PrefectUnreachable,
    Problem,
    no_credentials,
)
from blocks.validation_errors import problems_of

if TYPE_CHECKING:
    from prefect.blocks.core import Block

B = TypeVar("B", bound="Block")

_MISSING = {"404", "NoSuchKey", "NoSuchBucket", "NotFound"}


def is_block_name(source: str) -> bool:
    """Whether a source is a block name: lower-case letters, digits and dashes, and not a file."""
    return bool(re.fullmatch(r"[a-z0-9-]+", source)) and not Path(source).is_file()


def prefect_server() -> str:
    """The address of the configured Prefect server; empty if none is configured."""
    from prefect.settings import get_current_settings

    return str(get_current_settings().api.url or "")


def load_block(kind: type[B], name: str, *, or_file: bool = True) -> B:
    """A saved block, inside or outside of a flow.

    Args:
        kind: The class of the block.
        name: Its name.
        or_file: Whether the name could also be the path of a file, for messages.

    Raises:
        NotFound: The block does not exist, or no Prefect server is configured.
        PrefectUnreachable: The server does not answer.
        ConfigError: The saved block has invalid values.
    """
    import httpx

    where = f"block {kind.get_block_type_slug()}/{name}"
    if not prefect_server():
        # Otherwise Prefect would start an empty server of its own.
        mistake = "no Prefect server is configured to load a block with that name"
        remedy = "Set PREFECT_API_URL."
        if or_file:
            mistake = f"no such file, and {mistake}"
            remedy = "Write the file's path, or set PREFECT_API_URL."
        raise NotFound(Problem(name, "", mistake, remedy=remedy))
    # Prefect's dispatcher consumes `_sync`, which is not in load's own signature. Without it,
    # load() in an event loop is a coroutine.
    load: Callable[..., Any] = kind.load
    try:
        block: B = load(name, _sync=True)
    except RuntimeError as error:
        if isinstance(error.__cause__, ValidationError):
            raise ConfigError(*problems_of(error.__cause__, where, kind)) from error
        raise _no_server(where, error) from error
    except httpx.HTTPError as error:
        raise _no_server(where, error) from error
    except ValueError as error:
        raise NotFound(
            Problem(
                where,
                "",
                "does not exist",
                remedy="Save it in the Prefect UI"
                + (", or pass the path of a file (./name.yaml)." if or_file else "."),
            )
        ) from error
    return block


def read_text(source: str, credentials: Credentials | None = None) -> str:
    """The text of a file or of an S3 object.

    Raises:
        NotFound: It does not exist.
        AwsRefused: There are no AWS credentials, or AWS denies access.
        ConfigError: It is not text.
    """
    data = _s3_object(source, credentials) if source.startswith("s3://") else _file(source)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            Problem(source, "", "is not a text file (UTF-8)", remedy="Save it as UTF-8.")
        ) from error


def _file(source: str) -> bytes:
    path = Path(source).expanduser()
    if not source:
        allowed = "the path of a file, s3://bucket/key or the name of a saved block"
        raise NotFound(Problem("source", "", "is empty", allowed=allowed))
    if path.is_dir():
        raise NotFound(Problem(source, "", "is a folder, not a file"))
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(
            Problem(
                source,
                "",
                f"cannot be read ({error.strerror or error})",
                remedy=f"The full path is {path.absolute()}.",
            )
        ) from error


def _s3_object(source: str, credentials: Credentials | None) -> bytes:
    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise NotFound(Problem(source, "", "is not an object in S3", allowed="s3://bucket/key"))
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,
        HTTPClientError,
        NoCredentialsError,
    )

    from blocks.credentials.sessions import client_parameters, session_of

    try:
        who = credentials or DefaultCredentials()
        client: Any = session_of(who).client
        s3 = client("s3", **client_parameters(who))
        data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _MISSING:
            mistake = "names an unknown bucket" if code == "NoSuchBucket" else "does not exist"
            raise NotFound(Problem(source, "", mistake)) from error
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise AwsUnreachable(f"Could not read {source}: AWS says {code}") from error
        denied = code in {"AccessDenied", "403"}
        remedy = f"Allow s3:GetObject on {bucket}, or use other credentials." if denied else ""
        mistake = f"cannot be read: AWS answers {code}"
        raise AwsRefused(Problem(source, "", mistake, remedy=remedy)) from error
    except NoCredentialsError as error:
        raise no_credentials() from error
    except (ConnectionError, HTTPClientError) as error:
        raise AwsUnreachable(f"Could not reach AWS: {error}") from error
    except BotoCoreError as error:
        raise AwsRefused(Problem(source, "", f"cannot be read: {error}")) from error


def _no_server(where: str, error: Exception) -> PrefectUnreachable:
    return PrefectUnreachable(
        f"Could not load {where}: Prefect does not answer ({error}). "
        "Start the server, or set PREFECT_API_URL."
    )
