"""`hf:DIR` plays episodes: tokens in, tokens out, in any number of threads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from astra_gym.env import ToolEnv
from astra_gym.errors import MissingExtraError, ModelError
from astra_gym.rollout import rollout
from astra_gym.tool_calls import render_turn
from astra_gym.types import ToolCall, Trajectory
from astra_train.generation.engine import GenerationEngine
from astra_train.generation.hf_model import HFModel, HFModels, hf_models
from astra_train.generation.sampling import Generated, Sampling
from tests.specs import CHAIN

FILM = render_turn("", [ToolCall("get_film", {"title": "Winter Ferry"})])
PERSON = render_turn("Then: ", [ToolCall("get_person", {"name": "Ingrid Dahl"})])
BROKEN = "Hm. <tool_call>{no json}</tool_call>"


@pytest.fixture(scope="module")
def models(tiny_folder: Path) -> Iterator[HFModels]:
    with hf_models(f"hf:{tiny_folder}", max_tokens=12, threads=1, batch=8) as loaded:
        yield loaded


class ScriptedEngine:
    """Writes given turns as a model would, and keeps what it was asked."""

    def __init__(self, models: HFModels, turns: Sequence[str], max_model_len: int = 4000) -> None:
        self.max_model_len = max_model_len
        self.prompts: list[list[int]] = []
        self.settings: list[Sampling] = []
        self._turns = [models.chat.assistant(turn) for turn in turns]

    def submit(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str | None = None) -> Future[Generated]:
        assert request_id
        self.prompts.append(list(prompt_ids))
        self.settings.append(sampling)
        room = min(sampling.max_tokens, self.max_model_len - len(prompt_ids))
        turn = self._turns.pop(0)
        tokens, future = turn[:room], Future[Generated]()
        future.set_result(Generated(tokens, [-1.0] * len(tokens), "stop" if tokens == turn else "length", 0))
        return future


def scripted(models: HFModels, *turns: str, **limits: int) -> tuple[HFModel, ScriptedEngine]:
    engine = ScriptedEngine(models, turns, **limits)
    return HFModels(cast("GenerationEngine", engine), models.chat, "hf:scripted")(), engine


def play(model: HFModel, seed: int = 0) -> Trajectory:
    env = ToolEnv(CHAIN, require_certificate=False, isolation="inprocess")
    try:
        return rollout(env, model, seed=seed)
    finally:
        env.close()


def test_each_turn_adds_what_was_sampled_and_what_came_back(models: HFModels) -> None:
    model, engine = scripted(models, FILM, BROKEN, PERSON, "Oslo")
    played = play(model)
    assert (played.solved, played.calls, played.actions[-1]) == (2, 3, "Oslo")
    messages, chat = list(played.messages), models.chat
    ids = chat.initial(cast("Any", messages[:1]), played.tools)
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    for number, (turn, start) in enumerate(zip([FILM, BROKEN, PERSON, "Oslo"], turns, strict=True)):
        assert engine.prompts[number] == ids
        ids += chat.assistant(turn)
        if turn != "Oslo":
            ids += chat.context(cast("Any", messages[start + 1 : turns[number + 1]]))
    assert model.token_ids == ids


def test_usage_counts_the_tokens_of_the_episode(models: HFModels) -> None:
    model, engine = scripted(models, FILM, "Oslo")
    played = play(model)
    written = len(models.chat.assistant(FILM)) + len(models.chat.assistant("Oslo"))
    read = sum(map(len, engine.prompts))
    expected = {"requests": 2, "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    assert played.metadata["usage"] == expected


def test_a_turn_that_is_cut_off_ends_the_episode(models: HFModels) -> None:
    first = len(models.chat.initial([{"role": "user", "content": CHAIN.question}], CHAIN.tool_schemas))
    room = first + len(models.chat.assistant("I think.")) + 4
    model, _ = scripted(models, "I think. " + FILM, max_model_len=room)
    played = play(model)
    assert (played.stop_reason, played.calls, len(played.actions)) == ("final_answer", 0, 1)
    assert played.actions[0].startswith("I think.")
    assert "tool_call" not in played.actions[0]
    assert played.metadata["usage"]["cut_off"] == 1


def test_an_episode_that_fills_the_context_ends_with_an_empty_answer(models: HFModels) -> None:
    first = len(models.chat.initial([{"role": "user", "content": CHAIN.question}], CHAIN.tool_schemas))
    model, engine = scripted(models, FILM, max_model_len=first + len(models.chat.assistant(FILM)) + 3)
    played = play(model)
    assert (played.stop_reason, played.solved, played.actions) == ("final_answer", 1, (FILM, ""))
    assert played.metadata["usage"]["cut_off"] == 1
    assert len(engine.prompts) == 1


def test_a_question_that_does_not_fit_is_an_error(models: HFModels) -> None:
    model, _ = scripted(models, "Oslo", max_model_len=10)
    played = play(model)
    assert played.stop_reason == "model_error"
    assert "max_model_len) has 10" in str(played.metadata["error"])


def test_messages_that_do_not_continue_are_an_error(models: HFModels) -> None:
    model, _ = scripted(models, FILM, "Oslo")
    model.begin_episode(CHAIN, 0)
    question: Any = [{"role": "user", "content": CHAIN.question}]
    model.reply(question, CHAIN.tool_schemas)
    with pytest.raises(ModelError, match="begin_episode"):
        model.reply(question, CHAIN.tool_schemas)
    model.begin_episode(CHAIN, 0)
    assert model.reply(question, CHAIN.tool_schemas) == "Oslo"


def test_a_folder_plays(models: HFModels, tiny_folder: Path) -> None:
    played = play(models())
    assert played.model == f"hf:{tiny_folder.name}"
    assert played.metadata["usage"]["completion_tokens"] <= 12 * played.metadata["usage"]["requests"]


def test_equal_seeds_write_equal_turns_and_samples_of_one_episode_differ(tiny_folder: Path) -> None:
    options: dict[str, Any] = {"max_tokens": 12, "threads": 1}
    with HFModels.load(str(tiny_folder), **options) as a, HFModels.load(str(tiny_folder), **options) as b:
        several = [[play(loaded(), seed).actions for seed in (0, 0, 1)] for loaded in (a, b)]
    assert several[0] == several[1]
    assert len({str(actions) for actions in several[0]}) == 3


def test_threads_share_one_engine(tiny_folder: Path) -> None:
    options: dict[str, Any] = {"max_tokens": 8, "threads": 1, "temperature": 0.5}
    with HFModels.load(str(tiny_folder), **options) as alone, HFModels.load(str(tiny_folder), **options) as shared:
        expected = [play(alone(), seed).actions for seed in range(6)]
        with ThreadPoolExecutor(6) as pool:
            together = list(pool.map(lambda seed: play(shared(), seed).actions, range(6)))
        assert together == expected
        assert shared.engine.stats.requests == alone.engine.stats.requests


def test_a_closed_engine_is_a_model_error(tiny_folder: Path) -> None:
    model = HFModel.load(str(tiny_folder), threads=1)
    model.close()
    assert play(model).stop_reason == "model_error"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temprature": 1}, "no option temprature; there are temperature, top_p"),
        ({"max_model_len": 10**6}, "max_model_len must be"),
        ({"device": "abacus"}, "cannot be loaded"),
    ],
)
def test_wrong_options_are_named(tiny_folder: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        hf_models(str(tiny_folder), **options)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"hf:{tmp_path}: cannot be loaded"):
        hf_models(str(tmp_path))


def test_what_is_not_installed_is_named(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'astra-gym\[train\]'"):
        hf_models(str(tiny_folder))


def test_importing_it_pulls_in_no_torch() -> None:
    code = "import sys, astra_train.generation.hf_model; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
