"""Examples get no time limit: the machine is shared, and what is bounded here are bytes and elements, not
milliseconds."""

from hypothesis import settings

settings.register_profile("cosem", deadline=None)
settings.load_profile("cosem")
