# Settings of an old screen, in the layout of DCP 1.x's config.py

APP_NAME = "LiverScreen"

DOCKERHUB_TAG = "cellprofiler/distributed-cellprofiler:1.2.1_3.1.8"

AWS_REGION = "eu-west-1"
AWS_PROFILE = "default"
SSH_KEY_NAME = "liver.pem"
AWS_BUCKET = "liver-screen"

ECS_CLUSTER = "default"
CLUSTER_MACHINES = 3
TASKS_PER_MACHINE = 1
MACHINE_TYPE = ["m4.xlarge"]
MACHINE_PRICE = 0.10
EBS_VOL_SIZE = 30

DOCKER_CORES = 4
CPU_SHARES = DOCKER_CORES * 1024
MEMORY = 15000
SECONDS_TO_START = 3 * 60

SQS_QUEUE_NAME = APP_NAME + "Queue"
SQS_MESSAGE_VISIBILITY = 1 * 60
SQS_DEAD_LETTER_QUEUE = "arn:aws:sqs:eu-west-1:123456789012:LiverDeadMessages"

LOG_GROUP_NAME = APP_NAME

CHECK_IF_DONE_BOOL = "False"
EXPECTED_NUMBER_FILES = 7
MIN_FILE_SIZE_BYTES = 1
NECESSARY_STRING = ""
