import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import boto3
import pytest
from moto.server import ThreadedMotoServer
from prefect.settings import PREFECT_API_URL, temporary_settings

from blocks import AwsCredentials
from blocks.errors import (
    AwsRefused,
    AwsUnreachable,
    ConfigError,
    InputError,
    JobFileError,
    NotFound,
    PrefectUnreachable,
)
from blocks.loading.load import load_config, load_fleet, parse_config
from blocks.loading.sources import is_block_name, read_text
from blocks.yaml_json import parse_mapping

CONFIG = "aws_bucket: my-bucket\ndockerhub_tag: me/worker:1\n"


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))


def refusal(text: str, where: str = "c.yaml") -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, where)
    return str(caught.value)


def test_flat_keys_and_sections_mean_the_same() -> None:
    sections = """
buckets: {aws_bucket: my-bucket}
run: {dockerhub_tag: "me/worker:1", app_name: A}
fleet:
  cluster_machines: 7
"""
    flat = CONFIG + "app_name: A\ncluster_machines: 7\n"
    assert parse_config(sections, "c.yaml") == parse_config(flat, "c.yaml")


def test_json_is_accepted_too() -> None:
    text = json.dumps({"aws_bucket": "my-bucket", "dockerhub_tag": "x", "memory": 4000})
    assert parse_config(text, "c.json").memory == 4000
    assert parse_config(text, "block or so").memory == 4000


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("cluster_machine: 3", "Did you mean cluster_machines?"),
        ("APP_NAME: A", "Write app_name"),
        ("Memory: 4000", "Write memory"),
        ("requirements_file: x", "Did you mean requirements?"),
        ("zzz: 1", "zzz: is not a known key"),
        ("fleet: {cluster_machine: 3}", "Did you mean cluster_machines?"),
        ("fleet: {memory: 4000}", "Write it under container"),
        ("fleet: 3", "is a section"),
        ("memory: 4000\ncontainer: {memory: 5000}", "occurs twice"),
        ("memory: 4000\nmemory: 5000", "memory: occurs twice"),
        ("aws_credentials: {aws_acces_key_id: x}", "Did you mean aws_access_key_id?"),
        (
            "aws_credentials: {aws_client_parameters: {endpoint: x}}",
            "Did you mean endpoint_url?",
        ),
    ],
)
def test_keys_that_are_wrong(written: str, expected: str) -> None:
    text = refusal(CONFIG + written)
    assert text.startswith("c.yaml: ")
    assert expected in text


def test_missing_keys_are_reported_with_their_meaning() -> None:
    text = refusal("app_name: A")
    assert "c.yaml: aws_bucket: is missing. Add it: Bucket of run records" in text
    assert "c.yaml: dockerhub_tag: is missing" in text


@pytest.mark.parametrize(
    ("text", "where", "place"),
    [
        ("a: [1, 2\nb: 3", "c.yaml", "c.yaml:2:"),
        ("a: b: c", "c.yaml", "c.yaml:1:"),
        ('{"a": 1,\n "b": 2,\n}', "c.json", "c.json:3:1: is not valid JSON"),
        ("a: !!python/object:os.system x", "c.yaml", "c.yaml:1:"),
        ("", "c.yaml", "c.yaml: contains no keys"),
        ("- a", "c.yaml", "c.yaml: contains no keys"),
        ("just text", "c.yaml", "c.yaml: contains no keys"),
        ("a: \x00", "c.yaml", "c.yaml: is not valid YAML"),
        ("a: 2024-13-45", "c.yaml", "c.yaml: is not valid YAML"),
        ("a: &a [*a]", "c.yaml", "c.yaml: has aliases"),
        (LAUGHS, "c.yaml", "c.yaml: has aliases"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "c.json", "c.json: is nested too deeply"),
        ('{"a": ' + "1" * 5000 + "}", "c.json", "c.json: is not valid JSON"),
        (r'{"a": "\ud800"}', "c.json", "c.json: is not valid JSON"),
        (r'a: "\ud800"', "c.yaml", "c.yaml:1:"),
    ],
)
def test_texts_that_cannot_be_read_name_file_and_line(text: str, where: str, place: str) -> None:
    assert refusal(text, where).startswith(place)


def test_scalars_as_text_stay_as_written() -> None:
    yaml = parse_mapping("a: 001\nb: NO\nc: 1e5\n", "j.yaml", JobFileError, as_text=True)
    assert yaml == {"a": "001", "b": "NO", "c": "1e5"}
    assert parse_mapping('{"a": 1.50}', "j.json", JobFileError, as_text=True) == {"a": "1.50"}


def test_sources() -> None:
    assert is_block_name("my-plates")
    assert not any(
        is_block_name(s) for s in ("plates.yaml", "./plates", "s3://b/plates", "/plates", "Plates")
    )


def test_a_file_named_like_a_block_is_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plates").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    assert load_config("plates").aws_bucket == "my-bucket"


def test_files(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbf" + CONFIG.encode())
    assert load_config(str(tmp_path / "c.yaml")).aws_bucket == "my-bucket"
    with pytest.raises(NotFound, match="No such file"):
        load_config(str(tmp_path / "d.yaml"))
    with pytest.raises(NotFound, match="is a folder"):
        load_fleet(str(tmp_path) + "/")
    (tmp_path / "e.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(str(tmp_path / "e.yaml"))


def test_without_a_source_the_fleet_has_defaults() -> None:
    assert load_fleet(None) == load_fleet("")
    assert load_fleet(None).spot_fleet_request is None


@pytest.fixture(scope="module")
def aws() -> Iterator[AwsCredentials]:
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    yield AwsCredentials(
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        aws_client_parameters={"endpoint_url": f"http://{host}:{port}"},
    )
    server.stop()


def test_s3_source(aws: AwsCredentials) -> None:
    s3 = aws.get_s3_client()
    s3.create_bucket(Bucket="configs")
    s3.put_object(Bucket="configs", Key="lab/f.yaml", Body=b"image_id: ami-0abc\n")
    assert load_fleet("s3://configs/lab/f.yaml", aws).image_id == "ami-0abc"
    with pytest.raises(NotFound, match=r"s3://configs/g\.yaml"):
        read_text("s3://configs/g.yaml", aws)
    with pytest.raises(NotFound, match="bucket"):
        read_text("s3://no-such-bucket/g.yaml", aws)
    with pytest.raises(NotFound, match="s3://bucket/key"):
        read_text("s3://configs", aws)


def test_a_config_of_dcp_in_s3(aws: AwsCredentials, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = aws.get_s3_client()
    s3.create_bucket(Bucket="dcp-configs")
    text = b"AWS_BUCKET = 'my-bucket'\nDOCKERHUB_TAG = 'me/worker:1'\nSECONDS_TO_START = 3*60\n"
    s3.put_object(Bucket="dcp-configs", Key="lab/config.py", Body=text)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.meta.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    assert load_config("s3://dcp-configs/lab/config.py").seconds_to_start == 180


def test_ignored_keys_and_defaults() -> None:
    text = "aws: {aws_profile: lab, aws_credentials: nobody}\naws_bucket: my-bucket\nmemory: 4000\n"
    here = {"dockerhub_tag": "here", "memory": 9000}
    config = parse_config(text, "c.yaml", without={"aws_profile", "aws_credentials"}, defaults=here)
    assert (config.aws_profile, config.dockerhub_tag, config.memory) == (None, "here", 4000)


def test_s3_without_an_answer(unused_port: int) -> None:
    nowhere = AwsCredentials(
        aws_access_key_id="AKIA",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        aws_client_parameters={
            "endpoint_url": f"http://127.0.0.1:{unused_port}",
            "config": {"retries": {"max_attempts": 0}},
        },
    )
    with pytest.raises(AwsUnreachable, match=r"127\.0\.0\.1"):
        read_text("s3://configs/c.yaml", nowhere)


class Overloaded(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_s3_that_is_overloaded() -> None:
    """A later attempt may succeed, so this is not a refusal."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Overloaded) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        busy = AwsCredentials(
            aws_access_key_id="AKIA",
            aws_secret_access_key="secret",
            region_name="us-east-1",
            aws_client_parameters={
                "endpoint_url": f"http://127.0.0.1:{server.server_port}",
                "config": {"retries": {"max_attempts": 0}},
            },
        )
        with pytest.raises(AwsUnreachable, match=r"s3://configs/c\.yaml"):
            read_text("s3://configs/c.yaml", busy)
        server.shutdown()


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_block_of_a_server_without_an_answer_may_exist(unused_port: int) -> None:
    nowhere = {PREFECT_API_URL: f"http://127.0.0.1:{unused_port}/api"}
    with temporary_settings(nowhere), pytest.raises(PrefectUnreachable, match="run-config/saved"):
        load_config("saved")


def test_s3_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    bare = AwsCredentials(region_name="us-east-1", api_version=None)
    with pytest.raises(AwsRefused, match="No AWS credentials") as caught:
        read_text("s3://configs/c.yaml", bare)
    assert isinstance(caught.value, InputError)
