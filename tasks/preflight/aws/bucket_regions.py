"""Whether the buckets lie where the machines are: what crosses regions is slow and costs."""

from collections.abc import Iterator

from blocks.errors import Problem
from tasks.aws.clients import unsigned
from tasks.aws.errors import AwsError, error_code, is_refused
from tasks.preflight.finding import Finding
from tasks.runs.run import Run

# What GetBucketLocation says of the oldest regions (Amazon S3 API Reference, GetBucketLocation).
OLD_NAMES = {None: "us-east-1", "": "us-east-1", "EU": "eu-west-1"}


def findings(run: Run) -> Iterator[Finding]:
    """The buckets that lie in another region, and those whose region AWS does not tell."""
    for bucket in run.config.buckets():
        public = run.config.no_sign_request and bucket == run.config.images_bucket
        s3 = unsigned(run.aws.s3) if public else run.aws.s3
        try:
            said = s3.get_bucket_location(Bucket=bucket)["LocationConstraint"]
        except AwsError as error:
            if is_refused(error) and not public:
                yield _refused(bucket, error_code(error))
            continue  # whether it is there is asked elsewhere
        region = OLD_NAMES.get(said, said)
        if region != run.config.aws_region:
            yield Finding(
                "warning",
                "bucket_region",
                Problem(
                    "run config",
                    _key(run, bucket),
                    f"the bucket lies in {region}, the machines in {run.config.aws_region}: what "
                    "goes between regions is slow, and AWS charges for every GB",
                    got=bucket,
                    remedy=f"Set aws_region to {region}, or use a bucket of this region.",
                ),
            )


def _key(run: Run, bucket: str) -> str:
    keys = ("aws_bucket", "source_bucket", "workspace_bucket", "destination_bucket")
    return next(key for key in keys if getattr(run.config, key) == bucket)


def _refused(bucket: str, code: str) -> Finding:
    return Finding(
        "note",
        "bucket_region_unknown",
        Problem(
            "AWS credentials",
            f"s3:GetBucketLocation on arn:aws:s3:::{bucket}",
            "is not allowed: whether the bucket lies in the region of the machines is not known",
            got=code,
        ),
    )
