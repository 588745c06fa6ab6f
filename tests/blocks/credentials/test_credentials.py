"""Each kind of credentials creates clients with the right identity, for as long as a run."""

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
from botocore.exceptions import ClientError, NoCredentialsError, ParamValidationError
from prefect_aws import AwsClientParameters, AwsCredentials
from prefect_aws.assume_role_parameters import AssumeRoleParameters
from pydantic import SecretStr
from shared_fixtures import start
from waiting import wait_for

from blocks.credentials.sessions import region_of, session_of
from blocks.loading.sources import read_text
from deployments.local.emulator_client import Emulator

ROLE = "arn:aws:iam::123456789012:role/lab"
SECRET = "a-very-secret-key"


# One process: the tests count the requests of an account.
pytestmark = pytest.mark.xdist_group("credentials")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account without other clients."""
    with start(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def endpoint_url(emulator: Emulator) -> str:
    return emulator.endpoint_url


def keys_block(endpoint_url: str, **role: Any) -> AwsCredentials:
    return AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key=SecretStr(SECRET),
        region_name="us-east-1",
        aws_client_parameters=AwsClientParameters(endpoint_url=endpoint_url),
        **role,
    )


def client(block: AwsCredentials, service: str) -> Any:
    parameters = block.aws_client_parameters.get_params_override()
    make: Any = session_of(block).client
    return make(service, **parameters)


def who(block: AwsCredentials) -> str:
    return str(client(block, "sts").get_caller_identity()["Arn"])


def bare_environment(monkeypatch: pytest.MonkeyPatch, config: Path) -> None:
    """Remove all AWS settings of the environment but a configuration file."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def config_file(endpoint_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    path.write_text(
        f"[profile keys]\naws_access_key_id = local\naws_secret_access_key = {SECRET}\n"
        f"region = us-west-2\nendpoint_url = {endpoint_url}\n"
        f"[profile assumed]\nrole_arn = {ROLE}\nsource_profile = keys\n"
        f"region = us-east-1\nendpoint_url = {endpoint_url}\n"
    )
    bare_environment(monkeypatch, path)
    return path


def test_static_keys(endpoint_url: str) -> None:
    assert ":user/" in who(keys_block(endpoint_url))


def test_a_profile_with_keys(config_file: Path) -> None:
    assert ":user/" in who(AwsCredentials(profile_name="keys"))


def test_a_profile_with_a_role_is_renewed(config_file: Path) -> None:
    credentials = AwsCredentials(profile_name="assumed")
    assert ":assumed-role/lab/" in who(credentials)
    renewed = session_of(credentials).get_credentials()
    assert renewed is not None
    assert renewed.method == "assume-role"
    assert hasattr(renewed, "refresh_needed")


def test_a_role_of_the_block_is_assumed_once_for_many_requests(
    emulator: Emulator, endpoint_url: str
) -> None:
    """Uses the block's endpoint, which the block's own session ignores for this call."""
    sts = client(keys_block(endpoint_url, assume_role_arn=ROLE), "sts")
    before = emulator.request_counts().get("sts:AssumeRole", 0)
    assert {":assumed-role/lab/dcp-" in sts.get_caller_identity()["Arn"] for _ in range(3)} == {
        True
    }
    assert emulator.request_counts()["sts:AssumeRole"] == before + 1


def test_a_role_of_the_block_on_top_of_a_profile(config_file: Path, endpoint_url: str) -> None:
    block = AwsCredentials(
        assume_role_arn=ROLE,
        profile_name="keys",
        aws_client_parameters=AwsClientParameters(endpoint_url=endpoint_url),
    )
    assert ":assumed-role/lab/" in who(block)


def test_the_other_parameters_of_the_role_are_passed_on(
    emulator: Emulator, endpoint_url: str
) -> None:
    parameters = {
        "RoleSessionName": "plates",
        "DurationSeconds": 7200,
        "ExternalId": "lab-7",
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": []}),
        "PolicyArns": [{"arn": "arn:aws:iam::aws:policy/ReadOnlyAccess"}],
        "Tags": [{"Key": "project", "Value": "plates"}],
        "TransitiveTagKeys": ["project"],
        "SourceIdentity": "analyst",
        "SerialNumber": "arn:aws:iam::123456789012:mfa/analyst",
        "TokenCode": "123456",
    }
    role = {"assume_role_arn": ROLE, "assume_role_kwargs": AssumeRoleParameters(**parameters)}
    emulator.record()
    assert who(keys_block(endpoint_url, **role)).endswith(":assumed-role/lab/plates")
    request, _ = emulator.requests()
    assert request["parameters"] == parameters | {"RoleArn": ROLE}


def test_nobody_must_type_an_mfa_code(endpoint_url: str) -> None:
    device = AssumeRoleParameters(SerialNumber="arn:aws:iam::123456789012:mfa/analyst")
    with pytest.raises(ParamValidationError, match="TokenCode"):
        who(keys_block(endpoint_url, assume_role_arn=ROLE, assume_role_kwargs=device))


def test_a_role_without_credentials_to_assume_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bare_environment(monkeypatch, Path(os.devnull))
    with pytest.raises(NoCredentialsError):
        who(AwsCredentials(assume_role_arn=ROLE, region_name="us-east-1"))


def refusal(call: Any) -> str:
    """AWS's error code of a call; "" if it succeeds."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_role_of_the_block_lasts_past_its_expiry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15 minutes, the shortest session, pass in 5 seconds; the block's own session expires."""
    with start(tmp_path, speed=180) as emulator:
        # The block's own session assumes the role only at the environment's endpoint.
        monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
        brief = AssumeRoleParameters(DurationSeconds=900)
        block = keys_block(emulator.endpoint_url, assume_role_arn=ROLE, assume_role_kwargs=brief)
        s3 = client(keys_block(emulator.endpoint_url), "s3")
        s3.create_bucket(Bucket="configs")
        s3.put_object(Bucket="configs", Key="a.yaml", Body=b"a: 1")
        assert read_text("s3://configs/a.yaml", block) == "a: 1"
        own, renewed = block.get_boto3_session(), session_of(block)
        calls: dict[str, list[Any]] = {
            kind: [
                session.client("sts").get_caller_identity,
                session.client("s3").list_buckets,
                session.client("sqs").list_queues,
                session.client("ec2").describe_instances,
                session.client("ecs").list_clusters,
            ]
            for kind, session in (("own", own), ("renewed", renewed))
        }
        assert [refusal(call) for call in calls["renewed"]] == [""] * 5
        wait_for(lambda: refusal(calls["own"][0]), "the session to expire")
        assert [refusal(call) for call in calls["own"]] == [
            "ExpiredToken",
            "ExpiredToken",
            "ExpiredToken",
            "RequestExpired",
            "ExpiredTokenException",
        ]
        assert [refusal(call) for call in calls["renewed"]] == [""] * 5
        assert read_text("s3://configs/a.yaml", block) == "a: 1"


def test_the_region_is_the_blocks_or_the_profiles_or_the_environments(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert region_of(AwsCredentials(profile_name="keys", region_name="eu-west-1")) == "eu-west-1"
    assert region_of(AwsCredentials(profile_name="keys")) == "us-west-2"
    assert region_of(AwsCredentials(assume_role_arn=ROLE)) == "us-east-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert region_of(AwsCredentials(assume_role_arn=ROLE)) == "eu-west-3"


def test_secrets_are_masked(endpoint_url: str) -> None:
    block = keys_block(endpoint_url, assume_role_arn=ROLE)
    assert SECRET not in repr(block) + str(block) + repr(session_of(block))


@contextmanager
def identity_center() -> Iterator[str]:
    """Answers GetRoleCredentials like IAM Identity Center (AWS SSO Portal API)."""

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
            accepted = self.headers["x-amz-sso_bearer_token"] == "the-token"
            self.send_response(200 if accepted else 401)
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
    """In a separate process: botocore reads tokens from the home folder set at its start."""
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
        "from blocks.credentials.sessions import session_of\n"
        "credentials = session_of(AwsCredentials(profile_name='lab')).get_credentials()\n"
        "print(credentials.method, credentials.get_frozen_credentials().access_key)\n"
    )
    with identity_center() as url:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        own = {"HOME": str(tmp_path), "AWS_ENDPOINT_URL_SSO": url, "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=clean | own,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    assert done.stdout.split() == ["sso", "from-identity-center"], done.stderr
