"""The demo project: run config, job file, pipeline, and the generator of its synthetic plate."""
