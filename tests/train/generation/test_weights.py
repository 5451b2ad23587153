"""New weights: all or none, between requests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
import torch
from torch import Tensor

from astra_train.generation.engine import GenerationEngine
from astra_train.generation.errors import GenerationError, WeightsError
from astra_train.generation.sampling import Sampling
from tests.train.generation.conftest import EngineMaker
from tests.train.generation.models import Gate, make_model, plain_log_probs

GREEDY = Sampling(max_tokens=8, stop_token_ids=(), temperature=0)
PROMPT = [5, 6, 7, 8, 9]
EMBEDDING, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


def greedy(engine: GenerationEngine) -> list[int]:
    return engine.submit(PROMPT, GREEDY, "episode").result().token_ids


def test_new_weights_answer_and_what_the_old_ones_computed_is_forgotten(make_engine: EngineMaker) -> None:
    engine, new = make_engine(), make_model(seed=1)
    before = engine.submit(PROMPT, GREEDY, "episode").result()
    engine.update_weights(new.named_parameters(), 7)
    prompt = PROMPT + before.token_ids
    after = engine.submit(prompt, GREEDY, "episode").result()
    assert (before.policy_version, after.policy_version, engine.policy_version) == (0, 7, 7)
    expected = plain_log_probs(new, prompt, after.token_ids)
    torch.testing.assert_close(torch.tensor(after.log_probs), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("without", [OUTPUT, EMBEDDING, None])
def test_a_tied_tensor_may_come_under_either_name_or_both(make_engine: EngineMaker, without: str | None) -> None:
    new = make_model(seed=1)
    given = {name: tensor for name, tensor in new.state_dict().items() if name != without}
    engine = make_engine()
    engine.update_weights(given.items(), 1)
    assert greedy(engine) == greedy(make_engine(new))


def changed(**more: Tensor | None) -> Iterable[tuple[str, Tensor]]:
    given = {**dict(make_model(seed=1).named_parameters()), **{k.replace("__", "."): v for k, v in more.items()}}
    return [(name, tensor) for name, tensor in given.items() if tensor is not None]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (changed(model__norm__weight=None), "'model.norm.weight' not given"),
        (changed(module__norm__weight=torch.ones(32)), "has no 'module.norm.weight'; its names are like 'model"),
        (changed(model__norm__weight=torch.ones(16)), r"'model.norm.weight' must have shape \(32,\), found \(16,\)"),
        (changed(lm_head__weight=torch.ones(160, 32)), "'model.embed_tokens.weight' and 'lm_head.weight' are one"),
        ([*changed(), ("model.norm.weight", torch.ones(32))], "'model.norm.weight' is given twice"),
        ([], "more not given"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(
    make_engine: EngineMaker, given: Iterable[tuple[str, Tensor]], words: str
) -> None:
    engine = make_engine()
    before = greedy(engine)
    with pytest.raises(WeightsError, match=words):
        engine.update_weights(given, 1)
    assert greedy(engine) == before
    assert engine.policy_version == 0


def test_an_update_waits_for_what_runs_and_goes_before_what_waits(make_engine: EngineMaker) -> None:
    model, new = make_model(), make_model(seed=1)
    engine = make_engine(model, max_batch=1)
    gate = Gate(model)

    def weights() -> Iterator[tuple[str, Tensor]]:
        yield from new.named_parameters()
        gate.set()  # from here on the first has 200 steps to go, and the update is about to be in the queue

    long = Sampling(max_tokens=200, stop_token_ids=())
    running, waiting = (engine.submit([5, i], long) for i in range(2))
    gate.reached.wait()
    engine.update_weights(weights(), 3)
    assert running.done()
    assert (running.result().policy_version, waiting.result().policy_version) == (0, 3)


def test_weights_of_another_type_are_cast(make_engine: EngineMaker) -> None:
    half = [(name, tensor.to(torch.bfloat16)) for name, tensor in make_model(seed=1).named_parameters()]
    engine, rounded = make_engine(), make_model(seed=1)
    with torch.no_grad():
        for parameter in rounded.parameters():
            parameter.copy_(parameter.to(torch.bfloat16))
    engine.update_weights(half, 1)
    assert greedy(engine) == greedy(make_engine(rounded))


def test_an_engine_that_is_closed_takes_no_weights(make_engine: EngineMaker) -> None:
    engine = make_engine()
    engine.close()
    with pytest.raises(GenerationError, match="closed"):
        engine.update_weights(make_model().named_parameters(), 1)
