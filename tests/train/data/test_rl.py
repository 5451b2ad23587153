"""RL rows as Parquet: what is written, what is refused, and the check before training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

import astra_gym
from astra_gym.errors import UnknownEnvError
from astra_gym.registration import SHIPPED, unregister_suite
from astra_gym.suite import write_suite
from astra_train.chat_tokens import ChatTokens
from astra_train.data.errors import DataError
from astra_train.data.rl import RlOptions, check_rows, prompt_messages, write_rl
from tests.specs import CHAIN, JOIN, STATEFUL
from tests.suites import certified

SPECS = (CHAIN, JOIN, STATEFUL)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "suite.jsonl"
    write_suite(path, [certified(spec) for spec in SPECS])
    yield path
    unregister_suite("train")


@pytest.fixture(scope="module")
def tokens(tiny_folder: Path) -> ChatTokens:
    return ChatTokens(AutoTokenizer.from_pretrained(tiny_folder))


def rows_of(path: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return rows


def test_a_row_names_the_env_and_holds_the_question_only(tmp_path: Path, suite: Path) -> None:
    path = tmp_path / "rl" / "train.parquet"
    options = RlOptions(seed=7, env_kwargs={"reward": "recall", "beta": 2.0}, faults=0.1)
    report = write_rl(path, suite, [JOIN.id, CHAIN.id], options=options, notes={"part": "train"})
    first, second = rows_of(path)
    info = first.pop("extra_info")
    assert first == {
        "prompt": [{"role": "user", "content": JOIN.question}],
        "data_source": "astra_gym",
        "agent_name": "tool_env",
        "reward_model": {"style": "rule", "ground_truth": ""},
    }
    assert isinstance(info, dict)
    faults = orjson.loads(info.pop("faults"))
    assert faults["rate"] == 0.1
    assert info == {
        "env_id": f"train/{JOIN.id}",
        "suite": str(suite),
        "namespace": "train",
        "seed": 7,
        "index": 0,
        "env_kwargs": '{"reward":"recall","beta":2.0}',
        "domain": "geography",
        "hops": JOIN.hops,
        "scenario_type": JOIN.scenario_type,
        "distractor_band": "none",
    }
    assert second["extra_info"]["seed"] == 8  # type: ignore[index]
    assert (report.rows, dict(report.by_group)) == (2, {("geography", 3): 1, ("film", 3): 1})
    env = astra_gym.make(info["env_id"])
    assert env.reset(seed=0)[0] == JOIN.question
    env.close()


def test_no_answer_stands_in_a_row(tmp_path: Path, suite: Path) -> None:
    write_rl(tmp_path / "rl.parquet", suite)
    text = str(rows_of(tmp_path / "rl.parquet"))
    assert not [word for word in ("Oslo", "Ingrid Dahl", "372", "1150", "get_film") if word in text]


def test_the_shipped_suite_keeps_its_namespace(tmp_path: Path) -> None:
    ids = [env_id.partition("/")[2] for env_id in astra_gym.shipped_ids()[:3]]
    for given in (None, SHIPPED):
        write_rl(tmp_path / "rl.parquet", given, ids, options=RlOptions(namespace="elsewhere"))
        infos = [row["extra_info"] for row in rows_of(tmp_path / "rl.parquet")]
        assert [info["env_id"] for info in infos] == astra_gym.shipped_ids()[:3]  # type: ignore[index]
        assert {(info["suite"], info["namespace"]) for info in infos} == {("", "astra")}  # type: ignore[index]
        assert check_rows(tmp_path / "rl.parquet").rows == 3


def test_uncertified_specs_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    write_suite(path, [certified(CHAIN), JOIN, STATEFUL])
    try:
        with pytest.raises(DataError, match=rf"2 of 3 envs are not certified: {JOIN.id} .*{STATEFUL.id}"):
            write_rl(tmp_path / "rl.parquet", path)
        assert write_rl(tmp_path / "rl.parquet", path, [CHAIN.id]).rows == 1
    finally:
        unregister_suite("train")


def test_prompts_over_the_limit_are_refused_by_name_or_dropped(tmp_path: Path, suite: Path, tokens: ChatTokens) -> None:
    lengths = {spec.id: len(tokens.initial(prompt_messages(spec), spec.tool_schemas)) for spec in SPECS}
    longest = max(lengths, key=lambda i: lengths[i])
    limit = lengths[longest] - 1
    path = tmp_path / "rl.parquet"
    with pytest.raises(DataError, match=rf"1 envs are longer than {limit} tokens: {longest} \({limit + 1}\)"):
        write_rl(path, suite, options=RlOptions(max_prompt=limit), tokens=tokens)
    assert not path.exists()
    report = write_rl(path, suite, options=RlOptions(max_prompt=limit, on_long="drop"), tokens=tokens)
    assert (report.rows, report.too_long) == (2, [(longest, limit + 1)])
    assert report.longest_prompt <= limit
    with_system = RlOptions(max_prompt=limit + 1, system_prompt="You answer with the help of tools, one at a time.")
    with pytest.raises(DataError, match=r"1 envs|2 envs"):
        write_rl(path, suite, options=with_system, tokens=tokens)
    with pytest.raises(DataError, match="tokenizer"):
        write_rl(path, suite, options=RlOptions(max_prompt=limit))


def test_options_that_the_env_refuses_are_met_before_the_run(tmp_path: Path, suite: Path) -> None:
    for kwargs in ({"reward": "f2"}, {"colour": "red"}, {"max_turns": 0}):
        with pytest.raises(DataError, match="cannot be made with"):
            write_rl(tmp_path / "rl.parquet", suite, options=RlOptions(env_kwargs=kwargs))
    with pytest.raises(ValueError, match="faults"):
        write_rl(tmp_path / "rl.parquet", suite, options=RlOptions(faults={"speed": 3}))


def test_unknown_ids_are_refused(tmp_path: Path, suite: Path) -> None:
    with pytest.raises(UnknownEnvError, match="nowhere-v0"):
        write_rl(tmp_path / "rl.parquet", suite, ["nowhere-v0"])


def test_rows_that_can_be_played_pass_the_check(tmp_path: Path, suite: Path) -> None:
    path = tmp_path / "rl.parquet"
    write_rl(path, suite, options=RlOptions(faults="paper"))
    unregister_suite("train")  # as in a fresh process
    checked = check_rows(path)
    assert (checked.rows, checked.suites) == (3, (str(suite),))
    assert checked.env_ids == tuple(f"train/{spec.id}" for spec in SPECS)


def test_rows_that_cannot_be_played_are_named(tmp_path: Path, suite: Path) -> None:
    path = tmp_path / "rl.parquet"
    write_rl(path, suite)
    table = pq.read_table(path)

    def with_info(row: int, **changes: object) -> None:
        infos = table.column("extra_info").to_pylist()
        infos[row] |= changes
        column = pa.array(infos, table.schema.field("extra_info").type)
        index = table.schema.get_field_index("extra_info")
        pq.write_table(table.set_column(index, "extra_info", column), path)

    with_info(1, env_id="train/gone-v0")
    with pytest.raises(DataError, match=r"rl\.parquet: row 2: no env 'train/gone-v0' among the 3"):
        check_rows(path)
    with_info(2, suite=str(tmp_path / "gone.jsonl"))
    with pytest.raises(DataError, match=r"row 3: .*gone\.jsonl: [Nn]o such file"):
        check_rows(path)
    with_info(0, env_kwargs='{"reward":"most"}')
    with pytest.raises(DataError, match="row 1: reward must be one of"):
        check_rows(path)
    with_info(1, env_kwargs='{"colour":"red"}')
    with pytest.raises(DataError, match=r"row 2: .*colour"):
        check_rows(path)
    with_info(2, faults="{oops")
    with pytest.raises(DataError, match=r"row 3: faults: expected 'paper' or a JSON object, found '\{oops'"):
        check_rows(path)
    with_info(2, env_kwargs="[1")
    with pytest.raises(DataError, match=r"row 3: env_kwargs must be a JSON object, found '\[1'"):
        check_rows(path)
    with_info(2, faults="paper")
    assert check_rows(path).rows == 3
    pq.write_table(table.drop_columns(["extra_info"]), path)
    with pytest.raises(DataError, match=r"no column .'extra_info'"):
        check_rows(path)


def test_a_missing_suite_or_file_is_named(tmp_path: Path, suite: Path) -> None:
    write_rl(tmp_path / "rl.parquet", suite)
    suite.unlink()
    with pytest.raises(DataError, match=r"row 1: .*suite\.jsonl"):
        check_rows(tmp_path / "rl.parquet")
    with pytest.raises(DataError, match="no such file"):
        check_rows(tmp_path / "none.parquet")
