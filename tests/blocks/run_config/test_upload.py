from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest
from boto3.s3.transfer import S3Transfer
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blocks.errors import ConfigError, Refusal
from blocks.loading.load import parse_config
from blocks.run_config.model import RunConfig
from blocks.run_config.upload import UploadOptions
from blocks.run_config.upload_flags import FLAGS, parse_upload_flags

BASE: dict[str, Any] = {"aws_bucket": "my-bucket", "dockerhub_tag": "me/dcp-worker:1"}
ALL = """
  upload:
    acl: bucket-owner-full-control
    storage_class: STANDARD_IA
    encryption: aws:kms
    kms_key_id: alias/outputs
    tags: {project: Zellkern größe, who: a&b=c}
    content_type: text/csv
    cache_control: max-age=1, public
    metadata: {batch: "1"}
"""


def refusal(upload: str) -> str:
    text = f"aws_bucket: my-bucket\ndockerhub_tag: x\nupload: {upload}\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "c.yaml")
    return str(caught.value)


def test_every_option_becomes_an_argument_of_boto3() -> None:
    text = f"aws_bucket: my-bucket\ndockerhub_tag: x\nbuckets:{ALL.replace('&', 'and')}"
    arguments = parse_config(text, "c.yaml").upload_arguments
    assert arguments.keys() <= set(S3Transfer.ALLOWED_UPLOAD_ARGS)
    tags = dict(parse_qsl(arguments.pop("Tagging")))
    assert tags == {"project": "Zellkern größe", "who": "aandb=c"}
    assert arguments == {
        "ACL": "bucket-owner-full-control",
        "StorageClass": "STANDARD_IA",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/outputs",
        "ContentType": "text/csv",
        "CacheControl": "max-age=1, public",
        "Metadata": {"batch": "1"},
    }


def test_no_options_are_no_arguments() -> None:
    assert RunConfig(**BASE).upload_arguments == {}


@pytest.mark.parametrize(
    ("upload", "key", "expected"),
    [
        ("{acl: open}", "upload.acl", "bucket-owner-full-control"),
        ("{acl: log-delivery-write}", "upload.acl", "bucket-owner-full-control"),
        ("{storage_clas: STANDARD}", "upload.storage_clas", "storage_class"),
        ("{storage_class: COLD}", "upload.storage_class", "DEEP_ARCHIVE"),
        ("{encryption: AES}", "upload.encryption", "AES256"),
        ("{encryption: AES256, kms_key_id: k}", "upload", "aws:kms"),
        ("{kms_key_id: k}", "upload", "aws:kms"),
        ("{kms_key_id: my key}", "upload.kms_key_id", "ARN"),
        ("{tags: {'aws:x': y}}", "upload.tags", "aws:"),
        ("{tags: {who: 'a&b'}}", "upload.tags", "a&b"),
        (f"{{tags: {{{', '.join(f'k{n}: v' for n in range(11))}}}}}", "upload.tags", "10"),
        ("{metadata: {a b: c}}", "upload.metadata", "header"),
        ("{metadata: {a: größe}}", "upload.metadata", "ASCII"),
        (f"{{metadata: {{a: {'x' * 2048}}}}}", "upload.metadata", "2048"),
        ('{cache_control: "a\\nb"}', "upload.cache_control", "ASCII"),
        ("private", "upload", "mapping"),
    ],
)
def test_options_that_s3_refuses_are_reported_with_file_key_and_range(
    upload: str, key: str, expected: str
) -> None:
    text = refusal(upload)
    assert text.startswith(f"c.yaml: {key}: ")
    assert expected in text


def test_flags_and_options_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="combined with upload"):
        RunConfig(**BASE, upload={"acl": "private"}, upload_flags="--acl private")


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ("", {}),
        (
            "--acl bucket-owner-full-control --metadata-directive REPLACE",
            {"ACL": "bucket-owner-full-control"},
        ),
        (
            "--sse aws:kms --sse-kms-key-id=abc --storage-class STANDARD_IA",
            {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": "abc",
                "StorageClass": "STANDARD_IA",
            },
        ),
        (
            "--content-type text/csv --cache-control no-cache --metadata a=1,b=x=y",
            {
                "ContentType": "text/csv",
                "CacheControl": "no-cache",
                "Metadata": {"a": "1", "b": "x=y"},
            },
        ),
    ],
)
def test_dcps_flags_become_the_same_arguments(flags: str, arguments: Mapping[str, Any]) -> None:
    assert RunConfig(**BASE, upload_flags=flags).upload_arguments == arguments


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--acl", "private"),
        ("--acl --sse AES256", "private"),
        ("--acl open", "private"),
        ("--acl private --acl private", "twice"),
        ("--recursive", "--acl"),
        ("private", "--acl"),
        ("--metadata a", "key=value"),
        ("--sse=", "AES256"),
        ("--sse-kms-key-id k", "aws:kms"),
        ("--metadata-directive KEEP", "REPLACE"),
        ('--cache-control "max-age=1, public"', "flag"),
    ],
)
def test_flags_that_s3_would_refuse(flags: str, expected: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_upload_flags(flags)
    assert expected in str(caught.value)


words = st.one_of(
    st.sampled_from([*FLAGS, "AES256", "private", "REPLACE", "a=b", "text", "--x", "="]),
    st.builds("{}={}".format, st.sampled_from(list(FLAGS)), st.sampled_from(["", "AES256"])),
)


@given(st.lists(words, max_size=6).map(" ".join))
def test_any_text_is_refused_or_understood(text: str) -> None:
    try:
        options = parse_upload_flags(text)
    except Refusal:
        return
    assert UploadOptions.model_validate(options.model_dump()) == options
    assert options.arguments().keys() <= set(S3Transfer.ALLOWED_UPLOAD_ARGS)
