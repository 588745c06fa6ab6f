"""Instance metadata, task metadata, role credentials, scale-in protection, interruption."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.utils import InstanceMetadataFetcher
from emulated_app import App, client_of
from stand_in_worker import STAND_IN
from waiting import wait_for

from deployments.local.emulator_client import start_emulator

pytestmark = pytest.mark.e2e


def ask(url: str, method: str = "GET", body: Any = None, **headers: str) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        return str(answer.read().decode())


def status(url: str, method: str = "GET", body: Any = None, **headers: str) -> int:
    try:
        ask(url, method, body, **headers)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


class Imds:
    """Queries the metadata service of an instance like an SDK."""

    def __init__(self, app: App, instance_id: str) -> None:
        self.base = f"{app.emulator.endpoint_url}/_dcp/imds/{instance_id}/latest/"
        ttl = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = ask(f"{self.base}api/token", "PUT", **ttl)
        self.headers = {"X-aws-ec2-metadata-token": token}

    def get(self, path: str) -> str:
        return ask(self.base + path, **self.headers)

    def status(self, path: str) -> int:
        return status(self.base + path, **self.headers)


def one_task(app: App) -> dict[str, Any]:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    [container] = app.containers()
    found: dict[str, Any] = container
    return found


def test_instance_metadata(app: App) -> None:
    fleet = app.fleet(1)
    [instance] = wait_for(lambda: app.fleet_instances(fleet), "an instance")
    imds = Imds(app, instance)
    assert imds.get("meta-data/instance-id") == instance
    assert imds.get("meta-data/instance-type") == "m5.large"
    assert imds.get("meta-data/placement/region") == "us-east-1"
    assert imds.get("meta-data/placement/availability-zone") == "us-east-1a"
    assert f"ECS_CLUSTER={app.name}" in imds.get("user-data")
    assert json.loads(imds.get("dynamic/instance-identity/document"))["instanceId"] == instance
    assert imds.status("meta-data/spot/instance-action") == 404
    assert imds.status("meta-data/iam/security-credentials/") == 404
    assert status(f"{imds.base}meta-data/instance-id") == 401


def test_botocore_reads_the_region_from_the_metadata(app: App) -> None:
    fleet = app.fleet(1)
    [instance] = wait_for(lambda: app.fleet_instances(fleet), "an instance")
    fetcher = InstanceMetadataFetcher(base_url=f"{app.emulator.endpoint_url}/_dcp/imds/{instance}/")
    token = fetcher._fetch_metadata_token()
    found = fetcher._get_request("latest/meta-data/placement/region", None, token)
    assert found.text == "us-east-1"


def test_task_metadata_names_cluster_task_and_log_stream(app: App) -> None:
    container = one_task(app)
    base = f"{app.emulator.endpoint_url}/_dcp/task/{container['task_id']}/v4/{container['task_id']}"
    own = json.loads(ask(base))
    assert own["Name"] == "worker"
    assert own["Labels"]["com.amazonaws.ecs.task-arn"] == container["task_arn"]
    stream = f"{app.name}/worker/{container['task_id']}"
    assert own["LogOptions"]["awslogs-stream"] == stream
    task = json.loads(ask(f"{base}/task"))
    assert task["TaskARN"] == container["task_arn"]
    assert task["Cluster"].endswith(f"cluster/{app.name}")


def test_role_credentials_work(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    container = one_task(app)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    address = f"{app.emulator.endpoint_url}/_dcp/task/{container['task_id']}/credentials"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/none")
    session = boto3.Session(region_name="us-east-1")
    credentials = session.get_credentials()
    assert credentials is not None
    assert credentials.method == "container-role"
    sts = session.client("sts", endpoint_url=app.emulator.endpoint_url)
    assert sts.get_caller_identity()["Account"] == "123456789012"


def test_denials_of_the_caller_do_not_apply_to_machines_and_containers(app: App) -> None:
    container = one_task(app)
    base = f"{app.emulator.endpoint_url}/_dcp/task/{container['task_id']}"
    role = json.loads(ask(f"{base}/credentials"))
    app.emulator.set_account(refused=["*"])
    try:
        with pytest.raises(ClientError, match="not authorized"):
            client_of(app.emulator, "sqs").list_queues()
        client_of(app.emulator, "sqs", key=role["AccessKeyId"]).list_queues()
    finally:
        app.emulator.set_account(refused=[])


def test_task_protects_itself(app: App) -> None:
    container = one_task(app)
    state = (
        f"{app.emulator.endpoint_url}/_dcp/task/{container['task_id']}/api/task-protection/v1/state"
    )
    wanted = {"ProtectionEnabled": True, "ExpiresInMinutes": 5}
    answer = json.loads(ask(state, "PUT", wanted))["protection"]
    assert answer["TaskArn"] == container["task_arn"]
    assert answer["ProtectionEnabled"] is True
    assert answer["ExpirationDate"]
    app.scale(0)
    assert json.loads(ask(state))["protection"]["ProtectionEnabled"] is True
    ask(state, "PUT", {"ProtectionEnabled": False})
    app.running(0)
    assert status(state) == 404


@pytest.mark.parametrize("wanted", [{}, {"ProtectionEnabled": True, "ExpiresInMinutes": 0}])
def test_bad_protection_is_refused(app: App, wanted: dict[str, Any]) -> None:
    container = one_task(app)
    state = (
        f"{app.emulator.endpoint_url}/_dcp/task/{container['task_id']}/api/task-protection/v1/state"
    )
    assert status(state, "PUT", wanted) == 400


def test_interrupted_machine_is_warned_drained_ended_and_replaced(app: App) -> None:
    container = one_task(app)
    instance = container["instance_id"]
    imds = Imds(app, instance)
    app.emulator.interrupt(instance, notice_seconds=3)
    notice = json.loads(imds.get("meta-data/spot/instance-action"))
    assert notice["action"] == "terminate"
    assert notice["time"].endswith("Z")
    wait_for(lambda: [host for host in app.hosts() if host["status"] == "DRAINING"], "draining")
    wait_for(lambda: imds.status("meta-data/instance-id") == 404, "the instance gone")
    wait_for(
        lambda: [
            container for container in app.containers() if container["instance_id"] != instance
        ],
        "the task on another machine",
    )
    kinds = [
        event["kind"] for event in app.emulator.events() if event.get("instance_id") == instance
    ]
    assert kinds.index("interruption-notice") < kinds.index("interrupted")


def test_only_the_given_access_key_and_task_roles_are_let_in(tmp_path: Path) -> None:
    with start_emulator(
        tmp_path,
        Path(sys.executable),
        container_command=[str(STAND_IN)],
        access_key="AKIARIGHT",
        boot_seconds=0.1,
    ) as emulator:
        codes = {}
        for service, call in {
            "ec2": lambda client: client.describe_instances(),
            "ecs": lambda client: client.list_clusters(),
            "sqs": lambda client: client.list_queues(),
            "s3": lambda client: client.list_buckets(),
            "sts": lambda client: client.get_caller_identity(),
        }.items():
            call(client_of(emulator, service, key="AKIARIGHT"))
            with pytest.raises(ClientError) as caught:
                call(client_of(emulator, service, key="AKIAWRONG"))
            codes[service] = caught.value.response["Error"]["Code"]
        assert codes == {
            "ec2": "AuthFailure",
            "ecs": "UnrecognizedClientException",
            "sqs": "InvalidClientTokenId",
            "s3": "InvalidAccessKeyId",
            "sts": "InvalidClientTokenId",
        }
