"""This computer as AWS: the same run, against moto with what moto lacks.

`aws.start_emulator` is the door; everything else runs in the emulator's own process.
"""
