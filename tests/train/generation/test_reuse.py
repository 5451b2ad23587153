"""What was computed once is not computed again, and the answers do not change for it."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from astra_train.generation.engine import GenerationEngine
from astra_train.generation.sampling import Sampling
from astra_train.generation.sequence_cache import CachePool, SequenceCache, common_prefix
from astra_train.generation.shelves import Shelves, rounded_up
from tests.train.generation.conftest import EngineMaker
from tests.train.generation.models import STOP, VOCABULARY, make_model, plain_log_probs

SAMPLING = Sampling(max_tokens=7, stop_token_ids=(STOP,), temperature=0.8)


def text(length: int, seed: int) -> list[int]:
    draw = random.Random(seed)
    return [draw.randrange(VOCABULARY) for _ in range(length)]


def play(engine: GenerationEngine, start: Sequence[int], episode: str, turns: int = 3) -> list[int]:
    """Some turns of one episode, each checked against a plain forward pass; returns its tokens."""
    plain, ids = make_model(), list(start)
    for turn in range(turns):
        answer = engine.submit(ids, SAMPLING, episode).result()
        expected = plain_log_probs(plain, ids, answer.token_ids, 0.8)
        torch.testing.assert_close(torch.tensor(answer.log_probs), expected, atol=1e-5, rtol=1e-5)
        ids += answer.token_ids + text(9, turn)
    return ids


def test_the_next_turn_computes_only_what_is_new(make_engine: EngineMaker) -> None:
    engine = make_engine()
    ids = play(engine, text(100, 0), "a")
    stats = engine.stats
    new = stats.prompt_tokens - stats.reused_tokens
    assert new == len(ids) - 9 - stats.new_tokens + 2  # each turn's last token was drawn, never computed


def test_prompts_of_a_group_are_computed_once(make_engine: EngineMaker) -> None:
    engine, plain, prompt = make_engine(), make_model(), text(200, 1)
    futures = [engine.submit(prompt, SAMPLING, f"rollout {i}") for i in range(8)]
    for future in futures:
        answer = future.result()
        expected = plain_log_probs(plain, prompt, answer.token_ids, 0.8)
        torch.testing.assert_close(torch.tensor(answer.log_probs), expected, atol=1e-5, rtol=1e-5)
    assert engine.stats.reused_tokens == 7 * 199


def test_a_common_system_message_is_computed_once(make_engine: EngineMaker) -> None:
    engine, system = make_engine(), text(80, 2)
    for i in range(4):
        play(engine, system + text(20, 10 + i), f"episode {i}", turns=1)
    assert engine.stats.reused_tokens >= 3 * 80


def test_an_episode_that_was_changed_is_computed_from_where_it_differs(make_engine: EngineMaker) -> None:
    engine, start = make_engine(), text(60, 3)
    play(engine, start + text(40, 4), "a", turns=1)
    play(engine, start + text(40, 5), "a", turns=2)
    play(engine, text(90, 6), "a", turns=1)
    assert 60 <= engine.stats.reused_tokens < 60 + 90 + 20


def test_memory_is_bounded_and_answers_stay_right(make_engine: EngineMaker) -> None:
    engine = make_engine(cache_bytes=200_000, max_batch=3)
    starts = {f"episode {i}": text(100, 20 + i) for i in range(12)}
    for _ in range(2):
        for episode, start in starts.items():
            play(engine, start, episode, turns=1)
    reused = engine.stats.reused_tokens / engine.stats.prompt_tokens
    assert reused < 0.2  # least recently used goes first: an episode is gone before its turn comes again


def test_without_reuse_everything_is_computed(make_engine: EngineMaker) -> None:
    engine = make_engine(reuse=False)
    play(engine, text(100, 0), "a")
    assert engine.stats.reused_tokens == 0


@pytest.mark.parametrize(("a", "b", "common"), [("", "abc", 0), ("abc", "abc", 3), ("abx", "abyz", 2), ("x", "y", 0)])
def test_common_prefix(a: str, b: str, common: int) -> None:
    assert common_prefix(*(np.array([ord(c) for c in word], dtype=np.int64) for word in (a, b))) == common


def store(cache: SequenceCache, values: Sequence[float]) -> None:
    """Write tokens whose keys and values are their own numbers, in two layers."""
    numbers = torch.tensor(values).view(1, -1, 1).expand(2, -1, 4)
    for layer in range(2):
        cache.put(layer, cache.length, numbers, -numbers)
    cache.advance(np.array(values, dtype=np.int64))


def held(cache: SequenceCache) -> list[float]:
    """The keys of the second layer."""
    keys, values = cache.put(1, cache.length, torch.empty(2, 0, 4), torch.empty(2, 0, 4))
    assert torch.equal(keys, -values)
    return [float(key) for key in keys[0, :, 0]]


def test_a_sequence_keeps_its_content_when_it_grows_or_is_forked() -> None:
    shelves = Shelves()
    cache = SequenceCache(shelves, 64)
    store(cache, range(60))
    cache.reserve(150)
    store(cache, range(60, 140))
    twin = cache.fork(100, 400)
    store(twin, [7, 7, 7])
    assert held(cache) == list(range(140))
    assert held(twin) == [*range(100), 7, 7, 7]
    assert twin.tokens.tolist() == [*range(100), 7, 7, 7]


def test_sequences_share_shelves_and_give_their_rows_back() -> None:
    shelves = Shelves()
    shelves.bytes_per_token = 16
    caches = [SequenceCache(shelves, 100) for _ in range(16)]
    assert len({id(cache.shelf) for cache in caches}) == 1
    one_shelf = shelves.bytes
    assert one_shelf == 16 * 16 * rounded_up(100)
    caches.pop(3)
    again = SequenceCache(shelves, 100)
    assert again.shelf is caches[0].shelf
    del again
    caches.clear()
    assert shelves.bytes == 0


def test_the_pool_drops_what_was_used_longest_ago() -> None:
    pool = CachePool(max_bytes=10 * 64 * 1_000_000, bytes_per_token=1_000_000)  # ten short sequences, one a shelf
    for key in range(12):
        cache = SequenceCache(pool.shelves, 64)
        store(cache, [key] * 40)
        pool.park(key, cache)
        del cache
    assert len(pool) == 10
    prompts = [np.array([key] * 50, dtype=np.int64) for key in range(12)]
    assert [pool.longest(key, prompts[key], ()).held for key in range(12)] == [0, 0, *[40] * 10]
