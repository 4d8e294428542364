"""One profile for property tests: no deadline, since a busy machine is no error."""

from hypothesis import settings

settings.register_profile("weightdecay", deadline=None)
settings.load_profile("weightdecay")
