"""`dcp local run` and `dcp local up`: Prefect and an emulated AWS on this computer.

`emulator_client` starts and controls the emulator, which runs as a process of its own.
"""
