"""What all tests share."""

from __future__ import annotations

from hypothesis import settings

# A shared machine makes any time limit a lie.
settings.register_profile("sweep", deadline=None)
settings.load_profile("sweep")
