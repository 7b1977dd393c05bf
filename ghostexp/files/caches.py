"""Where what can be made or fetched again is kept for a user."""

from pathlib import Path

import platformdirs


def user_cache() -> Path:
    """Our folder in the user's cache: on Linux ~/.cache/ghostexp, or below XDG_CACHE_HOME."""
    return platformdirs.user_cache_path("ghostexp", appauthor=False)
