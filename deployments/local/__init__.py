"""The emulator of AWS: moto, with additions for what moto lacks.

`aws.start_emulator` is the entry point; everything else runs in the emulator's own process.
"""
