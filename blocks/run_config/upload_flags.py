"""DCP's UPLOAD_FLAGS, the flags of `aws s3 mv`, as upload options."""

import difflib
from typing import Any

from pydantic import ValidationError

from blocks.errors import Refusal
from blocks.run_config.upload import UploadOptions
from blocks.validation_errors import allowed_values

# AWS CLI Command Reference, `aws s3 mv`: flag -> key of the upload options.
FLAGS: dict[str, str] = {
    "--acl": "acl",
    "--storage-class": "storage_class",
    "--sse": "encryption",
    "--sse-kms-key-id": "kms_key_id",
    "--content-type": "content_type",
    "--cache-control": "cache_control",
    "--metadata": "metadata",
}
# Applies to a copy within S3; has no effect on an upload.
DIRECTIVE, DIRECTIVES = "--metadata-directive", ("COPY", "REPLACE")


def parse_upload_flags(text: str) -> UploadOptions:
    """The options of the flags; a space or `=` separates a flag from its value.

    Quotes have no meaning, as in DCP. `--metadata` takes `key=value,key=value`.

    Raises:
        Refusal: A flag is unknown, repeated, without a value, or with an invalid value.
    """
    values: dict[str, str] = {}
    words = iter(text.split())
    for word in words:
        flag, equals, value = word.partition("=")
        known_flags = [*FLAGS, DIRECTIVE]
        if flag not in known_flags:
            near = difflib.get_close_matches(flag, known_flags, 1)
            raise Refusal(
                f"has the unknown flag {flag!r}",
                allowed=" ".join(known_flags),
                remedy=f"Did you mean {near[0]}?" if near else "",
            )
        if flag in values:
            raise Refusal(f"has {flag} twice")
        values[flag] = value if equals else next(words, "")
        if not values[flag] or values[flag].startswith("--"):
            raise Refusal(f"has {flag} without a value", allowed=_allowed(flag))
    _check_directive(values.pop(DIRECTIVE, DIRECTIVES[0]))
    return _options(values)


def _check_directive(value: str) -> None:
    if value not in DIRECTIVES:
        raise Refusal(f"has {DIRECTIVE} with {value!r}", allowed=", ".join(DIRECTIVES))


def _allowed(flag: str) -> str:
    if flag == DIRECTIVE:
        return ", ".join(DIRECTIVES)
    if flag == "--metadata":
        return "key=value,key=value"
    return allowed_values(UploadOptions, FLAGS[flag])


def _options(values: dict[str, str]) -> UploadOptions:
    options = {FLAGS[flag]: _value(flag, value) for flag, value in values.items()}
    try:
        return UploadOptions(**options)
    except ValidationError as error:
        (first, *_) = error.errors(include_url=False)
        cause = first.get("ctx", {}).get("error")
        if not first["loc"] and isinstance(cause, Refusal):
            raise cause from error
        flag = next(flag for flag, key in FLAGS.items() if key == first["loc"][0])
        raise Refusal(f"has {flag} with {values[flag]!r}", allowed=_allowed(flag)) from error


def _value(flag: str, value: str) -> Any:
    if flag != "--metadata":
        return value
    pairs = [part.partition("=") for part in value.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise Refusal(f"has {flag} with {value!r}", allowed=_allowed(flag))
    return {key: text for key, _, text in pairs}
