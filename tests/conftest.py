"""What all tests share."""

from hypothesis import settings

# How long an example takes is the machine's business, and that may have more to do.
settings.register_profile("dcp", deadline=None)
settings.load_profile("dcp")
