"""The engine answers exactly, whatever runs beside a request."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
import torch

from astra_train.generation.engine import GenerationEngine
from astra_train.generation.errors import GenerationError, PromptTooLongError, RequestError, UnsupportedModelError
from astra_train.generation.sampling import Generated, Sampling
from tests.train.generation.conftest import EngineMaker
from tests.train.generation.models import STOP, VOCABULARY, Gate, make_model, plain_log_probs


def prompts(count: int, seed: int = 0, longest: int = 90) -> list[list[int]]:
    draw = random.Random(seed)
    return [[draw.randrange(VOCABULARY) for _ in range(draw.randint(1, longest))] for _ in range(count)]


def answer_all(engine: GenerationEngine, asked: list[list[int]], sampling: Sampling) -> list[Generated]:
    return [future.result() for future in [engine.submit(prompt, sampling) for prompt in asked]]


@pytest.mark.parametrize("kind", ["qwen3", "llama", "qwen2", "mistral"])
@pytest.mark.parametrize("temperature", [0.0, 0.6, 1.0, 1.7])
def test_log_probs_are_those_of_a_plain_forward_pass(make_engine: EngineMaker, kind: str, temperature: float) -> None:
    engine, plain = make_engine(make_model(kind), max_batch=5), make_model(kind)
    sampling = Sampling(max_tokens=17, stop_token_ids=(STOP,), temperature=temperature, top_p=0.95, top_k=40)
    asked = prompts(12)
    for prompt, answer in zip(asked, answer_all(engine, asked, sampling), strict=True):
        expected = plain_log_probs(plain, prompt, answer.token_ids, temperature or 1.0)
        torch.testing.assert_close(torch.tensor(answer.log_probs), expected, atol=1e-5, rtol=1e-5)


def test_greedy_is_the_most_likely_token_of_a_plain_forward_pass(make_engine: EngineMaker) -> None:
    plain, prompt = make_model(), prompts(1)[0]
    answer = make_engine().submit(prompt, Sampling(max_tokens=12, stop_token_ids=(), temperature=0)).result()
    for length in range(12):
        with torch.no_grad():
            logits = plain(input_ids=torch.tensor([prompt + answer.token_ids[:length]])).logits[0, -1]
        assert answer.token_ids[length] == int(logits.argmax())


def test_the_same_seed_writes_the_same_tokens_whatever_else_runs(make_engine: EngineMaker) -> None:
    engine, asked = make_engine(max_batch=8), prompts(20)
    sampling = Sampling(max_tokens=25, stop_token_ids=(STOP,), seed=11)
    alone = engine.submit(asked[0], sampling).result().token_ids
    other = Sampling(max_tokens=9, stop_token_ids=(), temperature=0.4)
    beside = [engine.submit(prompt, other) for prompt in asked[1:10]]
    again = engine.submit(asked[0], sampling)
    beside += [engine.submit(prompt, other) for prompt in asked[10:]]
    assert again.result().token_ids == alone
    assert all(len(future.result().token_ids) == 9 for future in beside)


def test_without_a_seed_answers_differ(make_engine: EngineMaker) -> None:
    answers = answer_all(make_engine(), [[5, 6, 7]] * 8, Sampling(max_tokens=10, stop_token_ids=()))
    assert len({tuple(answer.token_ids) for answer in answers}) > 1


def test_the_seed_of_the_engine_is_for_requests_without_one(make_engine: EngineMaker) -> None:
    asked, sampling = [[5, 6, 7]] * 3, Sampling(max_tokens=10, stop_token_ids=())
    one, other = (answer_all(make_engine(seed=4), asked, sampling) for _ in range(2))
    assert [answer.token_ids for answer in one] == [answer.token_ids for answer in other]


def test_a_stop_token_ends_the_answer_and_stands_in_it(make_engine: EngineMaker) -> None:
    engine, prompt = make_engine(), [5, 6, 7]
    free = engine.submit(prompt, Sampling(max_tokens=20, stop_token_ids=(), seed=1)).result()
    stop = free.token_ids[6]
    answer = engine.submit(prompt, Sampling(max_tokens=20, stop_token_ids=(159, stop), seed=1)).result()
    first = free.token_ids.index(stop)
    assert answer.token_ids == free.token_ids[: first + 1]
    assert (free.stop_reason, answer.stop_reason) == ("length", "stop")


def test_prompt_and_answer_stay_within_the_context(make_engine: EngineMaker) -> None:
    engine = make_engine(max_model_len=50)
    answer = engine.submit([5] * 45, Sampling(max_tokens=20, stop_token_ids=())).result()
    assert (len(answer.token_ids), answer.stop_reason) == (5, "length")


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        ([5] * 50, PromptTooLongError, "50 tokens .* max_model_len is 50"),
        ([], RequestError, "no tokens"),
        ([1, VOCABULARY], RequestError, "from 0 to 159"),
        ([-1], RequestError, "found -1"),
    ],
)
def test_a_prompt_that_cannot_be_answered_is_refused(
    make_engine: EngineMaker, prompt: list[int], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make_engine(max_model_len=50).submit(prompt, Sampling(max_tokens=4, stop_token_ids=()))


def test_prompts_longer_than_a_step_are_computed_in_several(
    make_engine: EngineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astra_train.generation.running_batch.STEP_TOKENS", 32)
    plain, asked = make_model("mistral"), prompts(6, longest=120)
    sampling = Sampling(max_tokens=8, stop_token_ids=())
    for prompt, answer in zip(asked, answer_all(make_engine(make_model("mistral")), asked, sampling), strict=True):
        expected = plain_log_probs(plain, prompt, answer.token_ids)
        torch.testing.assert_close(torch.tensor(answer.log_probs), expected, atol=1e-5, rtol=1e-5)


def test_requests_join_between_steps(make_engine: EngineMaker) -> None:
    model = make_model()
    engine = make_engine(model)
    gate = Gate(model)
    long = engine.submit([5, 6], Sampling(max_tokens=100, stop_token_ids=()))
    shorts = [engine.submit([7, i], Sampling(max_tokens=2, stop_token_ids=())) for i in range(20)]
    gate.set()
    long.result()
    assert all(short.done() for short in shorts)
    assert engine.stats.steps < 100 + 20


def test_many_threads_may_ask_at_once(make_engine: EngineMaker) -> None:
    engine, plain, asked = make_engine(max_batch=6), make_model(), prompts(30)

    def ask(prompt: list[int]) -> Generated:
        return engine.submit(prompt, Sampling(max_tokens=6, stop_token_ids=(STOP,))).result()

    with ThreadPoolExecutor(10) as pool:
        for prompt, answer in zip(asked, pool.map(ask, asked), strict=True):
            expected = plain_log_probs(plain, prompt, answer.token_ids)
            torch.testing.assert_close(torch.tensor(answer.log_probs), expected, atol=1e-5, rtol=1e-5)


def test_a_cancelled_request_leaves_the_batch(make_engine: EngineMaker) -> None:
    model = make_model()
    engine = make_engine(model, max_batch=1)
    gate = Gate(model)
    first = engine.submit([5], Sampling(max_tokens=290, stop_token_ids=()))
    assert first.cancel()
    gate.set()
    assert len(engine.submit([6], Sampling(max_tokens=3, stop_token_ids=())).result().token_ids) == 3
    assert engine.stats.new_tokens < 290


def test_closing_ends_what_waits_and_refuses_what_comes(make_engine: EngineMaker) -> None:
    model = make_model()
    engine = make_engine(model, max_batch=1)
    gate = Gate(model)
    futures = [engine.submit([5], Sampling(max_tokens=290, stop_token_ids=())) for _ in range(5)]
    threading.Timer(0.05, gate.set).start()
    engine.close()
    assert isinstance(futures[-1].exception(), GenerationError)
    with pytest.raises(GenerationError, match="closed"):
        engine.submit([5], Sampling(max_tokens=1, stop_token_ids=()))


def test_a_failure_of_the_model_reaches_those_who_wait_and_the_engine_goes_on(make_engine: EngineMaker) -> None:
    model = make_model()
    engine = make_engine(model)
    sampling = Sampling(max_tokens=3, stop_token_ids=())

    def break_down(*_: Any) -> None:
        raise MemoryError("no more")

    handle = model.model.layers[1].register_forward_pre_hook(break_down)
    with pytest.raises(GenerationError, match="MemoryError: no more"):
        engine.submit([5, 6], sampling).result()
    handle.remove()
    assert len(engine.submit([5, 6], sampling).result().token_ids) == 3


def test_broken_weights_are_an_error_not_an_answer(make_engine: EngineMaker) -> None:
    engine = make_engine()
    broken = {name: tensor * float("nan") for name, tensor in make_model().named_parameters()}
    engine.update_weights(broken.items(), 1)
    with pytest.raises(GenerationError, match="NaN"):
        engine.submit([5, 6], Sampling(max_tokens=3, stop_token_ids=())).result()
    engine.update_weights(make_model().named_parameters(), 2)
    answer = engine.submit([5, 6], Sampling(max_tokens=3, stop_token_ids=())).result()
    assert answer.policy_version == 2


def test_a_model_that_is_computed_otherwise_is_refused() -> None:
    threads = threading.active_count()
    with pytest.raises(UnsupportedModelError, match=r"Gemma2.* softcap"):
        GenerationEngine(make_model("gemma2"), max_model_len=100)
    assert threading.active_count() == threads


def test_a_model_with_layers_of_an_unknown_kind_is_refused() -> None:
    model = make_model()
    model.config.layer_types = ["full_attention", "chunked_attention"]
    with pytest.raises(UnsupportedModelError, match="layers of chunked_attention"):
        GenerationEngine(model, max_model_len=100)


@pytest.mark.parametrize(("option", "value"), [("max_model_len", 513), ("max_model_len", 1), ("max_batch", 0)])
def test_limits_that_cannot_be_are_refused(option: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{option} must be"):
        GenerationEngine(make_model(), **cast("dict[str, Any]", {"max_model_len": 100, option: value}))


def test_the_model_still_computes_alone_and_padded(make_engine: EngineMaker) -> None:
    model, plain = make_model(), make_model()
    make_engine(model)
    ids, mask = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]]), torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        ours, theirs = (m(input_ids=ids, attention_mask=mask).logits[:, -1] for m in (model, plain))
    torch.testing.assert_close(ours, theirs)
