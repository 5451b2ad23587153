"""Names of methods that `methods.py` does not replace, but charges or measures."""

from __future__ import annotations

from astra_gym.sandbox.words import words

KEYED = frozenset({"get", "setdefault", "add", "discard", "move_to_end"})
ALL_KEYED = frozenset(
    words(
        "union intersection difference symmetric_difference issubset issuperset isdisjoint "
        "intersection_update difference_update symmetric_difference_update"
    )
)
SCANNED = ALL_KEYED | frozenset(
    words(
        "lower upper strip lstrip rstrip title capitalize swapcase casefold split rsplit splitlines partition "
        "rpartition removeprefix removesuffix find rfind rindex reverse insert rotate isalpha "
        "isdigit isalnum isspace isupper islower isnumeric isdecimal isidentifier isprintable istitle"
    )
)
