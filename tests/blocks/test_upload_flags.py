import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.errors import Refusal
from blocks.upload_flags import UPLOAD_FLAGS, parse_upload_flags

WORKERS = Path(__file__).parents[2] / "worker" / "dcp_worker" / "upload_flags.py"


def test_flags_of_dcps_documentation() -> None:
    assert parse_upload_flags("--acl bucket-owner-full-control --metadata-directive REPLACE") == {
        "--acl": "bucket-owner-full-control",
        "--metadata-directive": "REPLACE",
    }
    assert parse_upload_flags("") == {}
    assert parse_upload_flags("--sse=aws:kms --metadata=a=b,c=d")["--metadata"] == "a=b,c=d"


@pytest.mark.parametrize(
    "text",
    [
        "--acl",
        "--acl --sse AES256",
        "--acl open",
        "--acl private --acl private",
        "--recursive",
        "private",
        "--metadata a",
        "--sse=",
        '--cache-control "max-age=1, public"',
    ],
)
def test_flags_that_s3_would_refuse(text: str) -> None:
    with pytest.raises(Refusal):
        parse_upload_flags(text)


def test_same_table_as_the_worker() -> None:
    table = runpy.run_path(str(WORKERS))["FLAGS"]
    assert {flag: allowed for flag, (_, allowed) in table.items()} == UPLOAD_FLAGS


words = st.one_of(
    st.sampled_from([*UPLOAD_FLAGS, "AES256", "private", "REPLACE", "a=b", "text", "--x", "="]),
    st.builds("{}={}".format, st.sampled_from(list(UPLOAD_FLAGS)), st.sampled_from(["", "COPY"])),
)


@given(st.lists(words, max_size=6).map(" ".join))
def test_the_worker_takes_whatever_a_config_may_hold(text: str) -> None:
    try:
        parse_upload_flags(text)
    except Refusal:
        return
    runpy.run_path(str(WORKERS))["parse"](text)
