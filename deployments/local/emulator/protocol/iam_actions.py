"""What IAM calls the operations of AWS's services."""

# What IAM calls operations by another name ("Actions, resources, and condition keys" of each
# service in the Service Authorization Reference).
OTHER_NAMES = {
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "s3:ListBuckets": "s3:ListAllMyBuckets",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:HeadObject": "s3:GetObject",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
}


def action_of(service: str, operation: str) -> str:
    """The IAM action of an operation.

    Args:
        service: The service as IAM writes it, such as `sqs`.
        operation: The operation as the service's API names it, such as `SendMessageBatch`.
    """
    action = f"{service}:{operation}"
    return OTHER_NAMES.get(action, action)
