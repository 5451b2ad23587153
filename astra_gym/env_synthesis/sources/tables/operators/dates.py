"""Dates: days between two of them, a date so many days later, the day of the week."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta

from astra_gym.env_synthesis.sources.tables.description import TableSet
from astra_gym.env_synthesis.sources.tables.kinds import DATE, DAYS, Kind
from astra_gym.env_synthesis.sources.tables.operation import Operation, Parameter, World
from astra_gym.env_synthesis.sources.tables.operators.parts import source
from astra_gym.records import JSON

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
BETWEEN = Kind("number", "number of days", "d")


def operations(tables: TableSet) -> Iterator[Operation]:
    columns = [column for table in tables.tables.values() if table.focus for column in table.columns.values()]
    if any(column.type == "date" and column.role in ("date", "key") for column in columns):
        yield _between()
        yield _later()
        yield _weekday()


def _date(name: str, words: str) -> Parameter:
    return Parameter(name, DATE, f"{words} (YYYY-MM-DD).")


def _between() -> Operation:
    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        del world
        first, second = (date.fromisoformat(arguments[name]) for name in ("first_date", "second_date"))
        return abs((second - first).days)

    return Operation(
        name="days_between_dates",
        family="days_between",
        description="Counts the days from one date to another, without sign.",
        parameters=(_date("first_date", "One date"), _date("second_date", "The other date")),
        output=BETWEEN,
        field="days",
        noun="number of days",
        source=source(
            """
            from datetime import date

            def days_between_dates(first_date, second_date):
                return {"days": abs((date.fromisoformat(second_date) - date.fromisoformat(first_date)).days)}
            """
        ),
        run=run,
        np=(
            "the number of days between {first_date} and {second_date}",
            "the number of days that separate {first_date} and {second_date}",
        ),
        ask=(
            "How many days lie between {first_date} and {second_date}?",
            "How many days apart are {first_date} and {second_date}?",
        ),
    )


def _later() -> Operation:
    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        del world
        return (date.fromisoformat(arguments["start_date"]) + timedelta(days=arguments["days"])).isoformat()

    days = Parameter("days", DAYS, "How many days to go forward.")
    return Operation(
        name="date_after_days",
        family="later",
        description="Gives the date (YYYY-MM-DD) that comes a number of days after another.",
        parameters=(_date("start_date", "The date to count from"), days),
        output=DATE,
        field="date",
        noun="date",
        source=source(
            """
            from datetime import date, timedelta

            def date_after_days(start_date, days):
                return {"date": (date.fromisoformat(start_date) + timedelta(days=days)).isoformat()}
            """
        ),
        run=run,
        np=("the date {days} days after {start_date}", "the date that follows {start_date} by {days} days"),
        ask=("Which date comes {days} days after {start_date}?",),
    )


def _weekday() -> Operation:
    def run(world: World, arguments: Mapping[str, JSON]) -> JSON:
        del world
        return _WEEKDAYS[date.fromisoformat(arguments["date"]).weekday()]

    return Operation(
        name="weekday_of_date",
        family="weekday",
        description="Gives the day of the week of a date, as its English name.",
        parameters=(_date("date", "The date"),),
        output=Kind("category", "weekday"),
        field="weekday",
        noun="day of the week",
        source=source(
            f"""
            import datetime

            def weekday_of_date(date):
                names = {list(_WEEKDAYS)!r}
                return {{"weekday": names[datetime.date.fromisoformat(date).weekday()]}}
            """
        ),
        run=run,
        np=("the day of the week of {date}", "the weekday on which {date} falls"),
        ask=("On which day of the week does {date} fall?", "Which weekday is {date}?"),
    )
