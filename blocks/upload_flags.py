"""The flags of `aws s3 mv` that outputs may be stored with (DCP's UPLOAD_FLAGS)."""

import difflib

from blocks.errors import Refusal

# AWS CLI Command Reference, `aws s3 mv`. None: any text.
UPLOAD_FLAGS: dict[str, tuple[str, ...] | None] = {
    "--acl": (
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
        "log-delivery-write",
    ),
    "--storage-class": (
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "GLACIER_IR",
    ),
    "--sse": ("AES256", "aws:kms"),
    "--sse-kms-key-id": None,
    "--content-type": None,
    "--cache-control": None,
    "--metadata": None,
    "--metadata-directive": ("COPY", "REPLACE"),
}


def parse_upload_flags(text: str) -> dict[str, str]:
    """Each flag with its value, parted by a space or `=`; quotes mean nothing, as in DCP.

    Raises:
        Refusal: A flag is unknown, given twice, without a value, or with a value not allowed.
    """
    flags: dict[str, str] = {}
    words = iter(text.split())
    for word in words:
        flag, equals, value = word.partition("=")
        if flag not in UPLOAD_FLAGS:
            near = difflib.get_close_matches(flag, UPLOAD_FLAGS, 1)
            raise Refusal(
                f"has the unknown flag {flag!r}",
                allowed=" ".join(UPLOAD_FLAGS),
                remedy=f"Did you mean {near[0]}?" if near else "",
            )
        if flag in flags:
            raise Refusal(f"has {flag} twice")
        flags[flag] = _value(flag, value if equals else next(words, ""))
    return flags


def _value(flag: str, value: str) -> str:
    allowed = UPLOAD_FLAGS[flag]
    if not value or value.startswith("--"):
        raise Refusal(f"has {flag} without a value", allowed=", ".join(allowed or ("a text",)))
    if allowed and value not in allowed:
        raise Refusal(f"has {flag} with {value!r}", allowed=", ".join(allowed))
    pairs = [part.partition("=") for part in value.split(",")]
    if flag == "--metadata" and not all(key and equals for key, equals, _ in pairs):
        raise Refusal(f"has {flag} with {value!r}", allowed="key=value,key=value")
    return value
