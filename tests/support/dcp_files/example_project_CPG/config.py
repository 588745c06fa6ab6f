# Settings of a project on images of a public bucket, in the layout of DCP 2.1's second example

APP_NAME = "PublicPlates"

DOCKERHUB_TAG = "imaging-core/distributed-cellprofiler:workspace"

AWS_REGION = "us-east-1"
AWS_PROFILE = "imaging"
SSH_KEY_NAME = "your-key-file.pem"
AWS_BUCKET = "your-bucket-name"
SOURCE_BUCKET = "public-plates"
WORKSPACE_BUCKET = "your-bucket-name"
DESTINATION_BUCKET = "your-bucket-name"

ECS_CLUSTER = "default"
CLUSTER_MACHINES = 5
TASKS_PER_MACHINE = 2
MACHINE_TYPE = ["c5.2xlarge"]
MACHINE_PRICE = 0.25
EBS_VOL_SIZE = 60
DOWNLOAD_FILES = "True"

DOCKER_CORES = 2
CPU_SHARES = DOCKER_CORES * 1024
MEMORY = 7000
SECONDS_TO_START = 3 * 60

SQS_QUEUE_NAME = APP_NAME + "Queue"
SQS_MESSAGE_VISIBILITY = 10 * 60
SQS_DEAD_LETTER_QUEUE = "user_DeadMessages"

LOG_GROUP_NAME = APP_NAME

CREATE_DASHBOARD = "True"
CLEAN_DASHBOARD = "True"

CHECK_IF_DONE_BOOL = "False"
EXPECTED_NUMBER_FILES = 7
MIN_FILE_SIZE_BYTES = 1
NECESSARY_STRING = ""

USE_PLUGINS = "True"
UPDATE_PLUGINS = "True"
PLUGINS_COMMIT = "v1.0.0"
INSTALL_REQUIREMENTS = "True"
REQUIREMENTS_FILE = "requirements/segmenting.txt"
