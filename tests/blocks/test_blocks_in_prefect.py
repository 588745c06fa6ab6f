"""The blocks on a real Prefect server with its own database."""

import asyncio
import inspect

import pytest
from job_forms import FORMS
from prefect import flow
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentCreate

import blocks
from blocks import (
    AwsCredentials,
    FleetTemplateBlock,
    JobFileBlock,
    ProfileBlock,
    RunConfigBlock,
)
from blocks.errors import ConfigError, NotFound
from blocks.job_file.model import parse_job_file
from blocks.loading.load import load_config, load_fleet, load_job_text, parse_config
from blocks.loading.sources import load_block

BASE = {"aws_bucket": "my-bucket", "dockerhub_tag": "me/worker:1"}


# One process: tests save blocks under the same names.
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.usefixtures("prefect"),
    pytest.mark.xdist_group("blocks"),
]


def account(key: str) -> AwsCredentials:
    return AwsCredentials(
        aws_access_key_id=key,
        aws_secret_access_key="wJalrXUtnFEMI",
        aws_session_token="FwoGZXIvYXdzE",
        aws_client_parameters={"endpoint_url": "http://127.0.0.1:1"},
    )


def test_registering_the_module_registers_all_blocks() -> None:
    """`prefect block register -m blocks` registers every block among the module's names."""
    kinds = {kind for _, kind in inspect.getmembers(blocks) if Block.is_block_class(kind)}
    assert kinds == {AwsCredentials, FleetTemplateBlock, JobFileBlock, ProfileBlock, RunConfigBlock}
    for kind in kinds:
        kind.register_type_and_schema()
    with get_client(sync_client=True) as client:
        assert all(client.read_block_type_by_slug(kind.get_block_type_slug()) for kind in kinds)


def test_nested_credentials_are_a_live_reference() -> None:
    account("AKIA1").save("lab", overwrite=True)
    RunConfigBlock(**BASE, aws_credentials=AwsCredentials.load("lab")).save(
        "plates", overwrite=True
    )
    assert load_config("plates").aws_credentials.aws_access_key_id == "AKIA1"
    account("AKIA2").save("lab", overwrite=True)
    assert load_config("plates").aws_credentials.aws_access_key_id == "AKIA2"


def test_secrets_survive_saving_within_the_config() -> None:
    RunConfigBlock(**BASE, aws_credentials=account("AKIA")).save("inline", overwrite=True)
    credentials = load_config("inline").aws_credentials
    assert credentials.aws_secret_access_key is not None
    assert credentials.aws_secret_access_key.get_secret_value() == "wJalrXUtnFEMI"
    assert credentials.aws_session_token == "FwoGZXIvYXdzE"


def test_upload_options_are_saved_completely() -> None:
    upload = {"acl": "private", "tags": {"project": "a b"}, "metadata": {"batch": "1"}}
    RunConfigBlock(**BASE, upload=upload, idle_action="reboot").save("stored", overwrite=True)
    loaded = load_config("stored")
    assert loaded.upload_arguments == RunConfigBlock(**BASE, upload=upload).upload_arguments
    assert loaded.idle_action == "reboot"


def test_a_block_saved_by_an_earlier_version_is_loaded() -> None:
    """The server stores all keys of the earlier version."""
    kind = RunConfigBlock
    kind.register_type_and_schema()
    with get_client(sync_client=True) as client:
        types = client.read_block_type_by_slug(kind.get_block_type_slug())
        schema = client.read_block_schema_by_checksum(kind._calculate_schema_checksum())
        client.create_block_document(
            BlockDocumentCreate(
                name="earlier",
                data={**BASE, "max_hours": 5, "auto_monitor": True, "ssh_key_name": None},
                block_type_id=types.id,
                block_schema_id=schema.id,
            )
        )
    assert load_config("earlier").max_hours == 5


def test_named_credentials_take_the_place_of_the_configs_own() -> None:
    account("AKIA3").save("other", overwrite=True)
    RunConfigBlock(**BASE).save("bare", overwrite=True)
    assert load_config("bare", "other").aws_credentials.aws_access_key_id == "AKIA3"


def test_yaml_names_a_credentials_block() -> None:
    account("AKIA4").save("named", overwrite=True)
    text = "aws_bucket: my-bucket\ndockerhub_tag: x\naws_credentials: named\n"
    assert parse_config(text, "c.yaml").aws_credentials.aws_access_key_id == "AKIA4"


def test_a_missing_block() -> None:
    with pytest.raises(NotFound, match="dcp-run-config/nothing"):
        load_config("nothing")
    with pytest.raises(NotFound, match="aws-credentials/nobody"):
        parse_config("aws_credentials: nobody", "c.yaml")


def test_a_block_saved_with_wrong_values_says_which() -> None:
    RunConfigBlock(**BASE).save("broken", overwrite=True)
    with get_client(sync_client=True) as client:
        saved = client.read_block_document_by_name("broken", "dcp-run-config")
        client.request(
            "PATCH",
            "/block_documents/{id}",
            path_params={"id": saved.id},
            json={"data": {**saved.data, "memory": 1}, "merge_existing_data": False},
        )
    with pytest.raises(ConfigError, match=r"dcp-run-config/broken: memory: .*got 1"):
        load_config("broken")


def test_fleet_templates_are_saved_completely() -> None:
    FleetTemplateBlock(subnets=["subnet-0abc"], on_demand_base=2).save("net", overwrite=True)
    fleet = load_fleet("net")
    assert (fleet.subnets, fleet.on_demand_base) == (["subnet-0abc"], 2)


def test_loading_in_flows_and_in_coroutines() -> None:
    RunConfigBlock(**BASE, app_name="Here").save("here", overwrite=True)

    @flow
    def sync_flow() -> str:
        return load_config("here").app_name

    @flow
    async def async_flow() -> str:
        return load_block(RunConfigBlock, "here").app_name

    assert sync_flow() == "Here"
    assert asyncio.run(async_flow()) == "Here"


@pytest.mark.parametrize("form", range(len(FORMS)))
def test_job_files_of_every_form_are_saved_completely(form: int) -> None:
    name = f"form-{form}"  # all processes share the server
    JobFileBlock(**FORMS[form]).save(name, overwrite=True)
    expected = JobFileBlock(**FORMS[form]).sets()
    assert load_block(JobFileBlock, name).sets() == expected
    assert parse_job_file(load_job_text(name), name).sets() == expected


def test_a_job_file_filled_in_as_a_form() -> None:
    """The form sends an empty field as null, as an empty text or as an empty list."""
    JobFileBlock.register_type_and_schema()
    keys = {"step": "qc", "identifier": "I", "batch": "B", "plates": ["P1"]}
    empty = {"pipeline": "", "data_file": None, "path_style": "default", "use_batch": False}
    groups = {"format": 96, "by": [], "wells": [], "sites": [], "include": {}, "first": None}
    with get_client(sync_client=True) as client:
        kind = client.read_block_type_by_slug("dcp-job-file")
        schema = client.get_most_recent_block_schema_for_block_type(kind.id)
        assert schema is not None
        assert {"step", "groups", "plates", "pipeline"} <= set(schema.fields["properties"])
        client.create_block_document(
            BlockDocumentCreate(
                name="filled-in",
                data={**keys, **empty, "groups": groups},
                block_type_id=kind.id,
                block_schema_id=schema.id,
            )
        )
    (jobs,) = parse_job_file(load_job_text("filled-in"), "filled-in").sets()
    assert len(jobs.groups) == 96
    assert jobs.pipeline == "projects/I/workspace/pipelines/B/qc.cppipe"


def test_a_job_file_kept_in_prefect_is_read_like_any_other() -> None:
    group = {"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"}
    JobFileBlock(pipeline="p/a.cppipe", data_file="p/a.csv", output="out", groups=[group]).save(
        "plate1", overwrite=True
    )
    jobs = parse_job_file(load_job_text("plate1"), "plate1")
    assert (jobs.pipeline, jobs.input, jobs.groups) == ("p/a.cppipe", "", [group])
    with pytest.raises(NotFound, match="dcp-job-file/plate2"):
        load_job_text("plate2")
