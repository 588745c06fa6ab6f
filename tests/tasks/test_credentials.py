"""Each kind of credentials makes clients that are who they should be, for as long as a run."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prefect_aws import AwsCredentials
from pydantic import BaseModel, SecretStr

from tasks.aws import Aws
from tasks.credentials import session_of

ROLE = "arn:aws:iam::123456789012:role/lab"
SECRET = "a-very-secret-key"


class AssumeRoleParameters(BaseModel):
    """As in later versions of prefect-aws."""

    DurationSeconds: int | None = None
    ExternalId: str | None = None

    def get_params_override(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class WithRole(AwsCredentials):
    """The block of later versions of prefect-aws, which assumes a role once."""

    _block_type_name = "AWS Credentials with a role"
    role_arn: str | None = None
    assume_role_kwargs: AssumeRoleParameters = AssumeRoleParameters()

    def get_boto3_session(self) -> Any:
        assert self.role_arn is None, "assumed by the block, once"
        return super().get_boto3_session()


def static(endpoint_url: str) -> dict[str, Any]:
    return {
        "aws_access_key_id": "local",
        "aws_secret_access_key": SecretStr(SECRET),
        "region_name": "us-east-1",
        "aws_client_parameters": {"endpoint_url": endpoint_url},
    }


def who(credentials: AwsCredentials) -> str:
    return Aws.connect(credentials, "us-east-1").sts.get_caller_identity()["Arn"]


@pytest.fixture
def config_file(endpoint_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of AWS, with none of the environment's credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "config"
    path.write_text(
        f"[profile keys]\naws_access_key_id = local\naws_secret_access_key = {SECRET}\n"
        f"region = us-east-1\nendpoint_url = {endpoint_url}\n"
        f"[profile assumed]\nrole_arn = {ROLE}\nsource_profile = keys\n"
        f"region = us-east-1\nendpoint_url = {endpoint_url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return path


def test_static_keys(endpoint_url: str) -> None:
    assert ":user/" in who(AwsCredentials(**static(endpoint_url)))


def test_a_profile_with_keys(config_file: Path) -> None:
    assert ":user/" in who(AwsCredentials(profile_name="keys"))


def test_a_profile_with_a_role_is_renewed(config_file: Path) -> None:
    credentials = AwsCredentials(profile_name="assumed")
    assert ":assumed-role/lab/" in who(credentials)
    found = session_of(credentials).get_credentials()
    assert found is not None
    assert found.method == "assume-role"
    assert hasattr(found, "refresh_needed")


def test_a_role_that_the_block_names(endpoint_url: str) -> None:
    assert ":assumed-role/lab/" in who(WithRole(role_arn=ROLE, **static(endpoint_url)))


def test_a_role_of_the_block_on_top_of_a_profile(config_file: Path, endpoint_url: str) -> None:
    parameters = {"endpoint_url": endpoint_url}
    block = WithRole(role_arn=ROLE, profile_name="keys", aws_client_parameters=parameters)
    assert ":assumed-role/lab/" in who(block)


def test_a_role_of_the_block_is_assumed_anew_before_it_expires(endpoint_url: str) -> None:
    """botocore renews credentials in the last quarter of an hour; these last so long only."""
    brief = AssumeRoleParameters(DurationSeconds=900)
    block = WithRole(role_arn=ROLE, assume_role_kwargs=brief, **static(endpoint_url))
    found = session_of(block).get_credentials()
    assert found is not None
    first = found.get_frozen_credentials().access_key
    assert found.get_frozen_credentials().access_key != first


def test_secrets_are_masked(endpoint_url: str) -> None:
    block = WithRole(role_arn=ROLE, **static(endpoint_url))
    assert SECRET not in repr(block) + str(block) + repr(session_of(block))


@contextmanager
def identity_center() -> Iterator[str]:
    """Answers what IAM Identity Center answers to GetRoleCredentials (AWS SSO Portal API)."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expires = int((datetime.now(UTC) + timedelta(hours=1)).timestamp() * 1000)
            keys = {
                "accessKeyId": "from-identity-center",
                "secretAccessKey": SECRET,
                "sessionToken": "token",
                "expiration": expires,
            }
            body = json.dumps({"roleCredentials": keys}).encode()
            known = self.headers["x-amz-sso_bearer_token"] == "the-token"
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_profile_of_identity_center(tmp_path: Path) -> None:
    """In a process of its own: botocore looks for tokens below the home folder it began with."""
    start = "https://lab.awsapps.com/start"
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    expires = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = {"accessToken": "the-token", "expiresAt": expires, "startUrl": start}
    name = hashlib.sha1(start.encode()).hexdigest()
    (cache / f"{name}.json").write_text(json.dumps(token))
    (tmp_path / ".aws" / "config").write_text(
        f"[profile lab]\nsso_start_url = {start}\nsso_region = us-east-1\n"
        "sso_account_id = 123456789012\nsso_role_name = Scientist\nregion = us-east-1\n"
    )
    script = (
        "from prefect_aws import AwsCredentials\n"
        "from tasks.credentials import session_of\n"
        "found = session_of(AwsCredentials(profile_name='lab')).get_credentials()\n"
        "print(found.method, found.get_frozen_credentials().access_key)\n"
    )
    with identity_center() as url:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        own = {"HOME": str(tmp_path), "AWS_ENDPOINT_URL_SSO": url, "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=clean | own,
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.stdout.split() == ["sso", "from-identity-center"], done.stderr
