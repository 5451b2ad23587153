"""What a tool may use, and the exception that stops it when it uses more.

All limits are counts, not times, so that a call gives the same outcome on every machine; `watchdog.py` and the worker's
parent hold the clock for what counting cannot see. The values are the defaults that the policy was measured with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

MAX_LENGTH = 200_000
"""Characters, bytes or elements of any single value that a tool builds."""
MAX_BITS = 16_384
"""Size of an integer."""
MAX_RANGE = 1_000_000
MAX_DIGITS = 4_300
"""Digits of an integer read from or written as text (CPython's own default)."""
MAX_DECIMAL_DIGITS = 4_000
MAX_DECIMAL_PRECISION = 500
MAX_FORMAT_WIDTH = 9_999
MAX_FRAMES = 120
"""Depth of recursive tool functions."""
MAX_ITERATORS = 64
"""Iterables that one `zip`, `map` or `product` takes; iterator shells inside each other."""
MAX_SOURCE_BYTES = 65_536
MAX_SOURCE_NODES = 20_000
MAX_SOURCE_DEPTH = 60
MAX_PATTERN = 1_000
"""Characters of a regular expression."""
REGEX_STEPS = 50_000_000
"""Worst-case steps of one regular expression search: bounds the text by the shape of the pattern."""
MAX_RESULT_NODES = 20_000
MAX_RESULT_BYTES = 65_536
MAX_RESULT_DEPTH = 32
MAX_ERROR_TEXT = 300
FREE_SIZE = 128
"""Values up to this size cost nothing extra; larger ones cost one unit of fuel per `SIZE_PER_FUEL`."""
SIZE_PER_FUEL = 32


@dataclass(frozen=True, slots=True)
class Limits:
    """The budgets of one tool call that a program may set; the sizes above hold for every program."""

    fuel: int = 100_000
    """Loop iterations and function entries; large operations cost in proportion to their size."""
    load_fuel: int = 1_000_000
    """The same for running the library and the tools' module bodies, once an episode."""
    wall_s: float = 2.0
    """Processor seconds of one call: after half of it the watchdog stops a call in process, then a worker is killed."""
    memory_bytes: int = 1 << 30
    """Address space of a worker process."""
    growth_bytes: int = 256 << 20
    """Growth of the process during one call in process that the watchdog lets pass."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value <= 0:
                raise ValueError(f"limit {name} must be positive, found {value}")


class LimitExceeded(BaseException):
    """A tool went over the limit `code`. A BaseException, so that `except Exception` in a tool lets it pass."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


class WatchdogTrip(LimitExceeded):
    """The watchdog stopped a call that used too much time or memory (not deterministic)."""

    def __init__(self) -> None:
        super().__init__("time_or_memory")


LIMIT_TEXT = {
    "fuel": "the tool used up its step budget (an endless or very long loop?)",
    "recursion": f"the tool recursed deeper than {MAX_FRAMES} calls",
    "memory": "the tool asked for more memory than it may use",
    "too_large": f"the tool built a value larger than {MAX_LENGTH:,} elements or characters, or nested without end",
    "number_too_large": f"the tool computed a number of more than {MAX_BITS:,} bits",
    "range_too_large": f"the tool used a range of more than {MAX_RANGE:,} numbers",
    "format_width": f"the tool used a format width or precision over {MAX_FORMAT_WIDTH:,}",
    "regex": f"the tool used a regular expression longer than {MAX_PATTERN:,} characters",
    "regex_subject": "the text is too long for this regular expression, whose search time grows steeply with length",
    "output_too_large": (
        f"the tool's result is larger than {MAX_RESULT_BYTES:,} bytes, {MAX_RESULT_NODES:,} values "
        f"or {MAX_RESULT_DEPTH} levels"
    ),
    "time_or_memory": "the tool used too much time or memory",
}
"""What the model is told for each limit code."""
