"""How outputs are stored: the options of an S3 upload as settings."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from blocks.errors import Refusal
from blocks.fields import PlainField, TextRule, none_if_unset

# Amazon S3 User Guide, "Categorizing your objects using tags".
MAX_TAGS = 10
_TAG_KEY = re.compile(r"(?!aws:)[\w .:/=+@-]{1,128}")
_TAG_VALUE = re.compile(r"[\w .:/=+@-]{0,256}")
# Amazon S3 User Guide, "Working with object metadata": sent as headers, at most 2 KB.
MAX_METADATA_BYTES = 2048
_METADATA_KEY = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
_METADATA_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")

_Optional = (BeforeValidator(none_if_unset), PlainField())

Acl = Annotated[
    Literal[
        "private",
        "public-read",
        "public-read-write",
        "authenticated-read",
        "aws-exec-read",
        "bucket-owner-read",
        "bucket-owner-full-control",
    ]
    | None,
    *_Optional,
]
StorageClass = Annotated[
    Literal[
        "STANDARD",
        "REDUCED_REDUNDANCY",
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER",
        "DEEP_ARCHIVE",
        "GLACIER_IR",
    ]
    | None,
    *_Optional,
]
Encryption = Annotated[Literal["AES256", "aws:kms", "aws:kms:dsse"] | None, *_Optional]
KmsKey = Annotated[
    Annotated[
        str,
        TextRule(
            r"[A-Za-z0-9:/_-]{1,2048}", "is not a KMS key", "the id, alias or ARN of a KMS key"
        ),
    ]
    | None,
    *_Optional,
]
Header = Annotated[
    Annotated[
        str,
        TextRule(
            r"[\x21-\x7e]([\x20-\x7e]{0,1022}[\x21-\x7e])?",
            "is not the value of a header",
            "a text of ASCII characters",
        ),
    ]
    | None,
    *_Optional,
]


class UploadOptions(BaseModel):
    """How outputs are stored in S3; by default as configured for the bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    acl: Acl = Field(default=None, description="Canned ACL.")
    storage_class: StorageClass = Field(default=None, description="Storage class.")
    encryption: Encryption = Field(default=None, description="Server-side encryption.")
    kms_key_id: KmsKey = Field(
        default=None, description="KMS key, with the encryption aws:kms or aws:kms:dsse."
    )
    tags: dict[str, str] = Field(default={}, description="Tags of each object.")
    content_type: Header = Field(default=None, description="Content type of every object.")
    cache_control: Header = Field(default=None, description="Cache-Control header.")
    metadata: dict[str, str] = Field(default={}, description="User-defined metadata.")

    @field_validator("tags")
    @classmethod
    def _check_tags(cls, tags: dict[str, str]) -> dict[str, str]:
        if len(tags) > MAX_TAGS:
            raise Refusal(f"has {len(tags)} tags", allowed=f"at most {MAX_TAGS} (Amazon S3)")
        for key, value in tags.items():
            if not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(value):
                raise Refusal(
                    f"has the tag {key!r} with {value!r}",
                    allowed="keys of 1 to 128, values of up to 256 letters, digits, spaces and "
                    "_ . : / = + - @; no key begins with aws:",
                )
        return tags

    @field_validator("metadata")
    @classmethod
    def _check_metadata(cls, metadata: dict[str, str]) -> dict[str, str]:
        for key, value in metadata.items():
            if not _METADATA_KEY.fullmatch(key) or not _METADATA_VALUE.fullmatch(value):
                raise Refusal(
                    f"has {key!r} with {value!r}",
                    allowed="keys that are valid HTTP header names, values of ASCII characters",
                )
        size = sum(len(key) + len(value) for key, value in metadata.items())
        if size > MAX_METADATA_BYTES:
            raise Refusal(
                f"has {size} bytes", allowed=f"at most {MAX_METADATA_BYTES} bytes (Amazon S3)"
            )
        return metadata

    @model_validator(mode="after")
    def _key_for_kms(self) -> Self:
        if self.kms_key_id and self.encryption not in ("aws:kms", "aws:kms:dsse"):
            raise Refusal(
                "has a KMS key without encryption by KMS",
                got=self.encryption or "no encryption",
                remedy="Set encryption to aws:kms, or remove kms_key_id.",
            )
        return self

    def arguments(self) -> dict[str, Any]:
        """The options as boto3's ExtraArgs."""
        arguments = {
            "ACL": self.acl,
            "StorageClass": self.storage_class,
            "ServerSideEncryption": self.encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "Tagging": urlencode(self.tags),
            "ContentType": self.content_type,
            "CacheControl": self.cache_control,
            "Metadata": self.metadata,
        }
        return {name: value for name, value in arguments.items() if value}
