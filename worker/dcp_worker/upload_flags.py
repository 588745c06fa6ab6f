"""Translation of `UPLOAD_FLAGS`, the flags of `aws s3 mv`, to arguments of an S3 upload."""

ACLS = (
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
)
STORAGE_CLASSES = (
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
)

# Flag -> (argument of the upload, values allowed or None for any text).
FLAGS = {
    "--acl": ("ACL", ACLS),
    "--storage-class": ("StorageClass", STORAGE_CLASSES),
    "--sse": ("ServerSideEncryption", ("AES256", "aws:kms")),
    "--sse-kms-key-id": ("SSEKMSKeyId", None),
    "--content-type": ("ContentType", None),
    "--cache-control": ("CacheControl", None),
    "--metadata": ("Metadata", None),
    # Decides what a copy within S3 keeps; an upload has nothing to keep.
    "--metadata-directive": (None, ("COPY", "REPLACE")),
}


def parse(flags: str) -> dict[str, object]:
    """The arguments (boto3's `ExtraArgs`) that a text of flags stands for.

    Args:
        flags: As for `aws s3 mv`, e.g. `--acl bucket-owner-full-control --sse AES256`. A flag and
            its value are separated by a space or `=`; `--metadata` takes `key=value,key=value`.

    Raises:
        ValueError: An unknown flag, a flag without its value, or a value that S3 does not know.
    """
    arguments: dict[str, object] = {}
    words = flags.split()
    while words:
        flag, given, value = words.pop(0).partition("=")
        if flag not in FLAGS:
            raise ValueError(f"{flag!r} is no flag for an upload; known are {', '.join(FLAGS)}")
        if not given:
            if not words or words[0].startswith("--"):
                raise ValueError(f"{flag} lacks its value")
            value = words.pop(0)
        argument, allowed = FLAGS[flag]
        if allowed is not None and value not in allowed:
            raise ValueError(f"{flag} is {value!r}; allowed are {', '.join(allowed)}")
        if argument == "Metadata":
            arguments[argument] = _pairs(value)
        elif argument is not None:
            arguments[argument] = value
    return arguments


def _pairs(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError(f"--metadata is {text!r}; it takes key=value,key=value")
    return {key: value for key, _, value in pairs}
