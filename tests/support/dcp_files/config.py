# Settings of a screen, in the layout of DCP 2.2's config.py

APP_NAME = "ColonScreen_Analysis"  # names of queue, service and logs begin with it
LOG_GROUP_NAME = APP_NAME

# WORKER IMAGE:
DOCKERHUB_TAG = "cellprofiler/distributed-cellprofiler:2.2.0_4.2.8"

# ACCOUNT:
AWS_REGION = "us-east-1"
AWS_PROFILE = "default"  # as in ~/.aws
SSH_KEY_NAME = "screening.pem"  # lies in ~/.ssh
AWS_BUCKET = "colon-screen"  # logs
SOURCE_BUCKET = "colon-screen-images"  # images
WORKSPACE_BUCKET = "colon-screen"  # pipelines and CSVs
DESTINATION_BUCKET = "colon-screen"  # outputs
UPLOAD_FLAGS = "--acl bucket-owner-full-control --metadata-directive REPLACE"

# MACHINES:
ECS_CLUSTER = "default"
CLUSTER_MACHINES = 1
TASKS_PER_MACHINE = 1
MACHINE_TYPE = ["m5.xlarge", "m5a.xlarge"]
MACHINE_PRICE = 0.13
EBS_VOL_SIZE = 40  # GB
DOWNLOAD_FILES = "True"
ASSIGN_IP = "True"

# EACH CONTAINER:
DOCKER_CORES = 1
CPU_SHARES = DOCKER_CORES * 1024
MEMORY = 7 * 1000  # MB
SECONDS_TO_START = 0 * 60

# QUEUE:
SQS_QUEUE_NAME = APP_NAME + "Queue"
SQS_MESSAGE_VISIBILITY = 2 * 60  # s
SQS_DEAD_LETTER_QUEUE = "imaging_DeadMessages"
JOB_RETRIES = 3

# WATCHING
AUTO_MONITOR = "True"
CREATE_DASHBOARD = "True"
CLEAN_DASHBOARD = "True"

# SKIPPING
CHECK_IF_DONE_BOOL = "False"
EXPECTED_NUMBER_FILES = 4
MIN_FILE_SIZE_BYTES = 1
NECESSARY_STRING = ""

# CELLPROFILER
ALWAYS_CONTINUE = "False"

# PLUGINS
USE_PLUGINS = "False"
UPDATE_PLUGINS = "False"
PLUGINS_COMMIT = "False"
INSTALL_REQUIREMENTS = "False"
REQUIREMENTS = ""
