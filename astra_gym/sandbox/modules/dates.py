"""`datetime`, `calendar` and `time` on the episode's frozen clock, in UTC whatever the host's zone."""

from __future__ import annotations

import calendar
import datetime as real
from functools import lru_cache

from astra_gym.sandbox.guards import constructors, text
from astra_gym.sandbox.meter import current_meter
from astra_gym.sandbox.modules.frozen import frozen
from astra_gym.sandbox.modules.strftime import DAYS, MONTHS, parse, strftime

UTC = real.UTC


@lru_cache(maxsize=256)
def read_clock(clock: str) -> real.datetime:
    """The instant that a spec's clock names, in UTC. Raises: ValueError when it is not ISO 8601."""
    moment = real.datetime.fromisoformat(clock)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now() -> real.datetime:
    return read_clock(current_meter().episode.clock)


def _utc(value: real.datetime) -> real.datetime:
    return value if value.tzinfo is not None else value.replace(tzinfo=UTC)


class Date(real.date):
    """`datetime.date` whose today is the episode's."""

    @classmethod
    def today(cls) -> Date:
        now = _now()
        return cls(now.year, now.month, now.day)

    @classmethod
    def fromtimestamp(cls, timestamp: float) -> Date:
        moment = real.datetime.fromtimestamp(timestamp, UTC)
        return cls(moment.year, moment.month, moment.day)

    def strftime(self, format: str) -> str:
        return strftime(self, format)

    def __format__(self, spec: str) -> str:
        return strftime(self, spec)

    def ctime(self) -> str:
        return strftime(self, "%c")


class Time(real.time):
    """`datetime.time`, written in English."""

    def strftime(self, format: str) -> str:
        return strftime(self, format)

    def __format__(self, spec: str) -> str:
        return strftime(self, spec)


class DateTime(real.datetime):
    """`datetime.datetime` whose now is the episode's; a naive time means UTC."""

    @classmethod
    def now(cls, tz: real.tzinfo | None = None) -> DateTime:
        moment = _now()
        if tz is not None:
            return cls._of(moment.astimezone(tz))
        return cls._of(moment.replace(tzinfo=None))

    @classmethod
    def _of(cls, moment: real.datetime) -> DateTime:
        return cls.combine(moment.date(), moment.timetz())

    @classmethod
    def utcnow(cls) -> DateTime:
        return cls.now()

    @classmethod
    def today(cls) -> DateTime:
        return cls.now()

    @classmethod
    def fromtimestamp(cls, timestamp: float, tz: real.tzinfo | None = None) -> DateTime:
        moment = real.datetime.fromtimestamp(timestamp, UTC if tz is None else tz)
        return cls._of(moment.replace(tzinfo=None) if tz is None else moment)

    @classmethod
    def utcfromtimestamp(cls, timestamp: float) -> DateTime:
        return cls.fromtimestamp(timestamp)

    @classmethod
    def strptime(cls, date_string: str, format: str) -> DateTime:
        return cls(**parse(date_string, format))

    def strftime(self, format: str) -> str:
        return strftime(self, format)

    def __format__(self, spec: str) -> str:
        return strftime(self, spec)

    def ctime(self) -> str:
        return strftime(self, "%c")

    def date(self) -> Date:
        return Date(self.year, self.month, self.day)

    def time(self) -> Time:
        return Time(self.hour, self.minute, self.second, self.microsecond, fold=self.fold)

    def timetz(self) -> Time:
        return Time(self.hour, self.minute, self.second, self.microsecond, self.tzinfo, fold=self.fold)

    def timestamp(self) -> float:
        return (_utc(self) - real.datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()

    def astimezone(self, tz: real.tzinfo | None = None) -> DateTime:
        return DateTime._of(real.datetime.astimezone(_utc(self), UTC if tz is None else tz))


Date.min, Date.max = Date(1, 1, 1), Date(9999, 12, 31)
DateTime.min, DateTime.max = DateTime(1, 1, 1), DateTime(9999, 12, 31, 23, 59, 59, 999999)
Time.min, Time.max = Time(), Time(23, 59, 59, 999999)
for _class, _name in ((Date, "date"), (DateTime, "datetime"), (Time, "time")):
    _class.__name__ = _class.__qualname__ = _name
    constructors.VISIBLE_TYPES.add(_class)
constructors.VISIBLE_TYPES.update({real.timedelta, real.timezone})
text.SAFE_STR.update({real.timedelta, real.timezone})
text.SAFE_REPR.update({real.timedelta, real.timezone})
DATETIME = frozen(
    "datetime",
    {
        "datetime": DateTime,
        "date": Date,
        "time": Time,
        "timedelta": real.timedelta,
        "timezone": real.timezone,
        "tzinfo": real.tzinfo,
        "UTC": UTC,
        "MINYEAR": real.MINYEAR,
        "MAXYEAR": real.MAXYEAR,
    },
)


def _month_rows(year: int, month: int) -> list[list[int]]:
    """The weeks of a month, Monday first, days outside it as 0."""
    first, length = calendar.monthrange(year, month)
    days = [0] * first + list(range(1, length + 1))
    days += [0] * (-len(days) % 7)
    return [days[start : start + 7] for start in range(0, len(days), 7)]


CALENDAR = frozen(
    "calendar",
    {
        "monthrange": calendar.monthrange,
        "isleap": calendar.isleap,
        "leapdays": calendar.leapdays,
        "weekday": calendar.weekday,
        "monthcalendar": _month_rows,
        "timegm": lambda parts: int(DateTime(*tuple(parts)[:6]).timestamp()),
        "month_name": ("", *MONTHS),
        "month_abbr": ("", *(month[:3] for month in MONTHS)),
        "day_name": DAYS,
        "day_abbr": tuple(day[:3] for day in DAYS),
        **{day.upper(): index for index, day in enumerate(DAYS)},
    },
)


def _time() -> float:
    return DateTime.now().timestamp()


TIME = frozen("time", {"time": _time, "monotonic": _time, "perf_counter": _time, "sleep": lambda _seconds: None})
