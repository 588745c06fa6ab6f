"""Deployments of the flows, the command `dcp`, and the emulator of AWS."""
