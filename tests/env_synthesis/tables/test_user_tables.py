"""Tables of one's own: read, inferred, described, refused."""

from __future__ import annotations

import csv
import sqlite3
import tomllib
from contextlib import closing
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.env_synthesis.sources import tables
from astra_gym.env_synthesis.sources.base import Item
from astra_gym.env_synthesis.sources.tables import TableError, TablesSource, load_tables, summary
from astra_gym.env_synthesis.sources.tables.reading import from_frame
from astra_gym.env_synthesis.sources.tables.user_tables import frame_tables
from astra_gym.types import ToolEnvSpec
from tests.env_synthesis.tables.playing import gold_values

CUSTOMERS = ("Acme Ltd", "Bolt GmbH", "Cyan SA", "Dyno Inc")
STATES = ("open", "paid", "shipped")
HEADER = ["order", "customer", "amount", "pieces", "status", "ordered"]
ORDERS = [
    [
        f"O-{100 + i}",
        CUSTOMERS[i * 5 // 3 % 4],
        40 + 37.5 * (i * 7 % 31),
        3 + i * 11 % 29,
        STATES[i % 3],
        f"2024-0{1 + i % 9}-{i + 1:02d}",
    ]
    for i in range(28)
]


def write_csv(path: Path, header: list[str], rows: list[list[Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def envs(source: TablesSource, count: int) -> list[ToolEnvSpec]:
    built = [source.build(item) for item in islice(source.items(), count) if isinstance(item, Item)]
    return [spec for spec in built if isinstance(spec, ToolEnvSpec)]


def check(source: TablesSource, count: int = 24) -> list[ToolEnvSpec]:
    """At least three in four items become envs, and their gold calls give the answers."""
    found = envs(source, count)
    assert len(found) >= 0.75 * count
    for spec in found:
        values = gold_values(spec)
        assert all(sub.answer.matches(values[sub.id]) for sub in spec.sub_questions)
    return found


def database(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT PRIMARY KEY, country TEXT, credit REAL)")
        connection.execute(
            'CREATE TABLE orders ("order" TEXT PRIMARY KEY, customer TEXT REFERENCES customers(name), '
            "amount REAL, pieces INTEGER, status TEXT, ordered TEXT)"
        )
        rows = [(name, "Austria" if i % 2 else "Belgium", 1000.0 * (i + 2)) for i, name in enumerate(CUSTOMERS)]
        connection.executemany("INSERT INTO customers VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", ORDERS)
        connection.commit()
    return path


def test_a_csv_file_without_a_description(tmp_path: Path) -> None:
    source = TablesSource.from_path(write_csv(tmp_path / "orders.csv", HEADER, ORDERS), seed=4, max_hops=5)
    found = check(source, 40)
    assert {spec.scenario_type for spec in found} == {
        "Single-Hop",
        "Parallel Single-Hop",
        "Multi-Hop",
        "Parallel Multi-Hop",
    }
    assert {spec.domain for spec in found} == {"orders"}
    assert found[0].provenance.license == "NOASSERTION"


def test_what_was_inferred_can_be_shown(tmp_path: Path) -> None:
    loaded = load_tables(write_csv(tmp_path / "orders.csv", HEADER, ORDERS))
    shown = summary(loaded.description)
    assert "one order a row, key order" in shown
    assert "customer: text, category" in shown
    assert "amount: number, measure" in shown
    assert "pieces: integer, measure" in shown
    assert "ordered: date, date" in shown


def test_a_description_wins_over_what_is_inferred(tmp_path: Path) -> None:
    write_csv(tmp_path / "orders.csv", HEADER, ORDERS)
    description = tmp_path / "orders.toml"
    description.write_text(
        """
        topic = "wholesale orders"
        register = "order book"
        [terms]
        dataset = "example orders"
        license = "CC0-1.0"
        [tables.orders]
        noun = "purchase order"
        [tables.orders.columns.amount]
        phrase = "invoice total"
        unit = "EUR"
        most = "dearest"
        [tables.orders.columns.pieces]
        role = "ignored"
        """,
        encoding="utf-8",
    )
    found = check(TablesSource.from_path(tmp_path / "orders.csv", description, seed=2, max_hops=3))
    assert all(spec.provenance.license == "CC0-1.0" for spec in found)
    tools = {tool.name for spec in found for tool in spec.tools}
    assert any(name.startswith("dearest_purchase_order") for name in tools)
    assert not any("pieces" in name for name in tools)
    assert any("order book" in spec.question for spec in found)


def test_the_description_in_the_readme_works() -> None:
    readme = resources.files(tables).joinpath("domains/README.md").read_text(encoding="utf-8")
    description = tomllib.loads(readme.split("```toml")[1].split("```")[0])
    customers = pandas.DataFrame({"name": CUSTOMERS, "country": ["Austria", "Belgium"] * 2})
    frames = {"orders": pandas.DataFrame(ORDERS, columns=HEADER), "customers": customers}
    found = check(TablesSource(tables={"shop": frame_tables(frames, "shop", description)}, seed=1, max_hops=3))
    assert any("order book" in spec.question for spec in found)


def test_a_database_keeps_its_foreign_keys(tmp_path: Path) -> None:
    source = TablesSource.from_path(database(tmp_path / "shop.sqlite"), seed=3, max_hops=4)
    column = source.tables["shop"].description.tables["orders"].columns["customer"]
    assert (column.role, column.references) == ("reference", "customers")
    found = check(source)
    assert any(set(spec.data) == {"ORDERS", "CUSTOMERS"} for spec in found)


def test_a_parquet_file_and_a_frame_give_the_same_tables_as_the_csv(tmp_path: Path) -> None:
    frame = pandas.DataFrame(ORDERS, columns=HEADER)
    pyarrow.parquet.write_table(pyarrow.Table.from_pandas(frame), tmp_path / "orders.parquet")
    from_csv = load_tables(write_csv(tmp_path / "orders.csv", HEADER, ORDERS))
    assert load_tables(tmp_path / "orders.parquet").rows == from_csv.rows
    assert frame_tables({"orders": frame}, "orders").rows == from_csv.rows


def test_the_order_of_rows_makes_no_difference() -> None:
    frame = pandas.DataFrame(ORDERS, columns=HEADER)
    one = TablesSource.from_frame(frame, "orders", seed=8)
    two = TablesSource.from_frame(frame.iloc[::-1], "orders", seed=8)
    assert envs(one, 8) == envs(two, 8)


def test_a_frame_with_numpy_values_dates_and_gaps() -> None:
    frame = pandas.DataFrame(ORDERS, columns=HEADER)
    frame["ordered"] = pandas.to_datetime(frame["ordered"])
    frame.loc[3, "amount"] = float("nan")
    frame.loc[4, "ordered"] = pandas.NaT
    rows = from_frame(frame, "orders").rows
    assert rows[3]["amount"] is None
    assert rows[4]["ordered"] is None
    assert rows[0]["ordered"] == "2024-01-01"
    check(TablesSource.from_frame(frame, "orders", seed=1, max_hops=3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"a,b\n", "no rows"),
        (b"name,size\nx\xff,1\n", "not UTF-8"),
        (b"name,size\nx,1,2\n", r"row 2: 3 cells, but the header names 2"),
        (b"name,Name\nx,1\n", "'name' more than once"),
        (b"size\n1\n1\n", "no column names each row once"),
        (b"name,size\na,1\nb,2\nc,3\nd,4\ne,many\n", "data row 5 holds 'many'"),
    ],
)
def test_a_csv_file_that_cannot_be_used_says_why(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "things.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=message):
        load_tables(path)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({"tables": {"order": {}}}, "has a table 'order', but the data holds"),
        ({"tables": {"orders": {"key": "number"}}}, "the key 'number' is no column"),
        ({"tables": {"orders": {"key": "customer"}}}, "stands there twice"),
        ({"tables": {"orders": {"columns": {"price": {}}}}}, "there is no column 'price'"),
        ({"tables": {"orders": {"columns": {"status": {"type": "number"}}}}}, "expected number, found 'open'"),
        ({"tables": {"orders": {"columns": {"ordered": {"type": "colour"}}}}}, "tables.orders.columns.ordered.type"),
        ({"tables": {"orders": {"columns": {"status": {"role": "reference", "references": "states"}}}}}, "'states'"),
        ({"tables": {"orders": {"noun": 'a "quoted" noun'}}}, "without quotes"),
        ({"tables": {"orders": {"noun": "x", "colour": 1}}}, "colour"),
        ({"name": "My Shop!"}, "domain name"),
        ({"tables": {"orders": {"columns": {"status": {"of": ["the status"]}}}}}, "exactly once"),
        ({"tables": {"orders": {"columns": {"status": {"members": ["with {x}"]}}}}}, "exactly once"),
        ({"tables": {"orders": {"columns": {"status": {"ask": ["Is {x} {open}?"]}}}}}, "exactly once"),
    ],
)  # fmt: skip
def test_a_description_that_does_not_fit_says_where(tmp_path: Path, description: dict[str, Any], message: str) -> None:
    path = write_csv(tmp_path / "orders.csv", HEADER, ORDERS)
    with pytest.raises(TableError, match=message):
        load_tables(path, description)


def test_a_table_that_nothing_can_be_asked_of_is_refused() -> None:
    frame = pandas.DataFrame({"name": ["a", "b"], "size": [1.5, None]})
    with pytest.raises(TableError, match="no question of the wanted shape"):
        TablesSource.from_frame(frame, "things", min_hops=4, max_hops=4)


def test_files_that_are_not_there_or_not_what_they_say(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no such file"):
        load_tables(tmp_path / "none.csv")
    for name, message in (
        ("x.xlsx", "ending"),
        ("x.parquet", "not a Parquet file"),
        ("x.db", "not an SQLite database"),
    ):
        path = tmp_path / name
        path.write_bytes(b"this is plain text, not a table" * 40)
        with pytest.raises(TableError, match=message):
            load_tables(path)
    path = write_csv(tmp_path / "orders.csv", HEADER, ORDERS)
    (tmp_path / "bad.toml").write_text("= nothing", encoding="utf-8")
    with pytest.raises(TableError, match="is no TOML"):
        load_tables(path, tmp_path / "bad.toml")
    with pytest.raises(TableError, match="cannot be read"):
        load_tables(path, tmp_path / "none.toml")


def test_a_reference_to_nothing_is_an_error(tmp_path: Path) -> None:
    path = database(tmp_path / "shop.db")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM customers WHERE name = 'Cyan SA'")
        connection.commit()
    described = {"tables": {"orders": {"columns": {"customer": {"role": "reference", "references": "customers"}}}}}
    with pytest.raises(TableError, match="'Cyan SA' is no key of table 'customers'"):
        load_tables(path, described)


@pytest.mark.parametrize("word", ["class", "row", "key", "value", "import", "values", "order", "lambda", "date"])
def test_nouns_that_are_python_words_still_make_tools(word: str) -> None:
    frame = pandas.DataFrame(
        {word: [f"item {i}" for i in range(20)], "group": ["a b", "c d"] * 10, "size": [i * 1.5 for i in range(20)]}
    )
    check(TablesSource.from_frame(frame, f"{word}s", seed=6, max_hops=3), 16)


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@settings(max_examples=30, deadline=None)
@given(
    names=st.lists(NAMES, min_size=9, max_size=9),
    sizes=st.lists(st.floats(-1e6, 1e6), min_size=9, max_size=9),
)
def test_any_table_is_either_usable_or_refused_with_a_reason(names: list[str], sizes: list[float]) -> None:
    frame = pandas.DataFrame({"name": names, "group": ["red", "blue", "green"] * 3, "size": sizes})
    try:
        source = TablesSource.from_frame(frame, "things", seed=1, max_hops=2)
    except TableError:
        return
    for spec in envs(source, 8):
        values = gold_values(spec)
        assert all(sub.answer.matches(values[sub.id]) for sub in spec.sub_questions), spec.question
