"""What is mixed in, from where, how much of it, always the same, and the record that comes out holds like any other."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from astra_gym.certify import certify, with_certificate
from astra_gym.distractors import BANDS, DistractorError, Mixer, Mixing, ToolPool
from astra_gym.distractors.mixing import _all_of
from astra_gym.env import ToolEnv
from astra_gym.models import OracleModel
from astra_gym.rollout import rollout
from astra_gym.types import Certificate, Provenance, ToolEnvSpec
from tests.distractors.specs import GALLERY, OTHERS, POOL_SPECS, SUMS, env, lookup
from tests.specs import CHAIN, JOIN, STATEFUL, tool


@pytest.fixture(scope="module")
def pool() -> ToolPool:
    return ToolPool.of(POOL_SPECS)


def mixed(pool: ToolPool, spec: ToolEnvSpec = CHAIN, **options):
    embedding = options.pop("vectors", None)
    with Mixer(pool, Mixing.of(**options), embedding=embedding) as mixer:
        return mixer.mix(spec)


def names(spec: ToolEnvSpec) -> set[str]:
    return {tool.name for tool in spec.tools}


@pytest.mark.parametrize("spec", [CHAIN, JOIN, STATEFUL], ids=lambda spec: spec.id)
@pytest.mark.parametrize("variant", ["banded", "random"])
def test_what_comes_out_certifies_and_is_solved_as_before(pool, spec, variant):
    result = mixed(pool, spec, variant=variant)
    assert result.bands
    certificate = certify(result.spec)
    assert isinstance(certificate, Certificate), certificate
    tried = next(check.evidence for check in certificate.checks if check.check == "other_tools")
    assert set(result.bands) <= set(tried["tried"])
    done = with_certificate(result.spec, certificate)
    with ToolEnv(done) as env:
        trajectory = rollout(env, OracleModel())
    assert trajectory.breakdown.f1 == 1.0
    assert trajectory.metadata["distractor_band"] == done.distractor_band
    assert len(trajectory.tools) == len(spec.tools) + len(result.bands)


def test_the_record_is_another_one(pool):
    result = mixed(pool).spec
    assert result.id == "test-chain-d3hml-v0"
    assert result.certificate is None
    assert result.content_hash() != CHAIN.content_hash()
    assert (result.question, result.answer, result.sub_questions) == (CHAIN.question, CHAIN.answer, CHAIN.sub_questions)
    own = [tool for tool in result.tools if tool in CHAIN.tools]
    assert own == list(CHAIN.tools)
    assert CHAIN.data.items() <= result.data.items()
    note = result.provenance.details["distractors"]
    assert note["of"] == CHAIN.id
    assert set(note["tools"]) == names(result) - names(CHAIN)
    assert CHAIN.distractor_band == "none"


def test_the_band_is_part_of_the_content(pool):
    result = mixed(pool).spec
    note = {**result.provenance.details["distractors"], "band": "low"}
    provenance = result.provenance.model_copy(update={"details": {"distractors": note}})
    assert result.model_copy(update={"provenance": provenance}).content_hash() != result.content_hash()


def test_nothing_that_helps_or_collides_is_mixed_in(pool):
    result = mixed(pool, variant="random", k=20)
    refused_names = {"get_person", "birthplace_of", "weather_in"}
    assert names(result.spec) == {tool.tool.name for tool in pool.tools} - {"birthplace_of", "weather_in"}
    assert not refused_names & set(result.bands)
    assert result.refused == {"name": 1, "answers": 1, "leak": 1}
    assert result.spec.provenance.details["distractors"]["refused"] == dict(result.refused)


def test_what_is_refused_is_replaced(pool):
    counts = {len(mixed(pool, CHAIN, variant="random", k=2, bands=["high"], seed=seed).bands) for seed in range(12)}
    refusals = sum(
        sum(mixed(pool, CHAIN, variant="random", k=2, bands=["high"], seed=seed).refused.values()) for seed in range(12)
    )
    assert counts == {2}
    assert refusals > 3


@pytest.mark.parametrize("variant", ["banded", "random"])
def test_tools_of_the_envs_own_domain_are_left_out(variant):
    cinemas = {"Rex": {"seats": 90}, "Saga": {"seats": 120}}
    sibling = env("sibling", "film", lookup("get_cinema", "CINEMAS", "Look up a cinema."), data={"CINEMAS": cinemas})
    pool = ToolPool.of((*POOL_SPECS, sibling))
    assert "get_cinema" not in names(mixed(pool, variant=variant, k=20).spec)
    assert "get_cinema" in names(mixed(pool, JOIN, variant=variant, k=20).spec)


def test_the_same_text_or_source_under_another_name_is_refused():
    film = CHAIN.tools[0]
    copied = film.model_copy(update={"name": "find_film", "source": film.source.replace("get_film", "find_film")})
    same_words = env("words", "cinema", copied, data={"FILMS": {"Salt Road": {"director": "Paulo Reis"}}})
    result = mixed(ToolPool.of((CHAIN, same_words, SUMS)), variant="random")
    assert set(result.bands) == {"add"}
    assert result.refused == {"same tool": 1}


def test_a_library_that_would_change_a_tool_keeps_it_out():
    rounding = tool(
        "Round down to half.",
        {"a": {"type": "number"}, "b": {"type": "number"}},
        "def halve(a, b):\n    return round(a) + b\n",
    )
    other = env("halves", "numbers", rounding)
    library = STATEFUL.library + "\ndef round(x):\n    return 0\n"
    strange = STATEFUL.model_copy(update={"library": library})
    assert mixed(ToolPool.of((strange, other)), strange, variant="random").refused == {"library": 1}
    assert set(mixed(ToolPool.of((STATEFUL, other)), STATEFUL, variant="random").bands) == {"halve"}


# --- bands


def by_name(cosine: dict[str, float]):
    """An embedding by hand: the chain's tools point one way, each other tool at its cosine from there."""

    def embed(texts):
        rows = []
        for text in texts:
            name = text.split('"name":"')[1].split('"')[0]
            c = cosine.get(name, 0.0)
            rows.append([c, np.sqrt(1 - c * c)])
        return np.array(rows, dtype=np.float32)

    return embed


CHAIN_NAMES = {"get_film": 1.0, "get_country": 1.0}
COSINES = {"get_painting": 0.99, "get_painter": 0.7, "add": 0.5, "transfer": 0.2, "get_balance": 0.1, "subtract": 0.0}


def test_candidates_go_to_their_bands():
    pool = ToolPool.of((GALLERY, SUMS, STATEFUL, JOIN, CHAIN))
    vectors = by_name({**CHAIN_NAMES, "get_person": 1.0, **COSINES})
    bands = mixed(pool, k=20, vectors=vectors).bands
    assert bands == {
        "get_painting": "high",
        "get_painter": "medium",
        "add": "medium",
        "transfer": "low",
        "get_balance": "low",
        "subtract": "low",
        "get_height": "low",
    }


@pytest.mark.parametrize("bands", [("high",), ("low", "medium"), ("medium",), BANDS])
def test_only_the_bands_asked_for_are_drawn_and_the_highest_is_recorded(bands):
    pool = ToolPool.of((GALLERY, SUMS, STATEFUL, JOIN, CHAIN))
    vectors = by_name({**CHAIN_NAMES, "get_person": 1.0, **COSINES})
    result = mixed(pool, k=1, bands=list(bands), vectors=vectors)
    assert sorted(result.bands.values()) == sorted(bands)
    assert result.spec.distractor_band == next(band for band in BANDS if band in bands)


def test_at_most_k_of_each_band():
    pool = ToolPool.of((GALLERY, SUMS, STATEFUL, JOIN, CHAIN))
    vectors = by_name({**CHAIN_NAMES, "get_person": 1.0, **COSINES})
    found = {tuple(sorted(mixed(pool, k=2, seed=seed, vectors=vectors).bands.values())) for seed in range(5)}
    assert found == {("high", "low", "low", "medium", "medium")}


def test_a_draw_is_even():
    pool = ToolPool.of((STATEFUL, JOIN, CHAIN))
    drawn = [name for seed in range(150) for name in mixed_names(pool, seed)]
    counts = {name: drawn.count(name) for name in set(drawn)}
    assert set(counts) == {"transfer", "get_balance", "get_height", "subtract"}
    assert min(counts.values()) > 20


def mixed_names(pool: ToolPool, seed: int) -> list[str]:
    with Mixer(pool, Mixing(variant="random", k=1, bands=("low",), seed=seed)) as mixer:
        return list(mixer.mix(CHAIN).bands)


def test_the_arms_of_the_ablation(pool):
    assert mixed(pool, variant="none").spec is CHAIN
    random = mixed(pool, variant="random")
    assert set(random.bands.values()) == {"random"}
    assert random.spec.distractor_band == "random"
    assert random.spec.id == "test-chain-r9-v0"
    assert len(random.bands) == 7  # of the ten that are there, three are refused
    assert mixed(pool, k=1, bands=["low", "high"], seed=4).spec.id == "test-chain-d1hls4-v0"


# --- the same again


def test_the_same_bytes_in_every_process(pool):
    code = (
        "from tests.distractors.specs import POOL_SPECS\n"
        "from astra_gym.distractors import *\n"
        "for mixing in (Mixing(), Mixing(variant='random', seed=7)):\n"
        "    mixer = Mixer(ToolPool.of(POOL_SPECS), mixing)\n"
        "    print([mixer.mix(spec).spec.content_hash() for spec in POOL_SPECS[:2]])\n"
        "    mixer.close()\n"
    )
    done = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    here = "".join(
        f"{[mixed(pool, spec, **options).spec.content_hash() for spec in POOL_SPECS[:2]]}\n"
        for options in ({}, {"variant": "random", "seed": 7})
    )
    assert done == {here}


def test_an_env_draws_the_same_whatever_was_mixed_before(pool):
    with Mixer(pool, Mixing()) as mixer:
        one = [mixer.mix(spec).spec for spec in POOL_SPECS]
        twin = pickle.loads(pickle.dumps(mixer))
        other = [twin.mix(spec).spec for spec in reversed(POOL_SPECS)][::-1]
        twin.close()
    assert one == other


def test_another_seed_or_id_draws_others(pool):
    chosen = {frozenset(mixed(pool, variant="random", k=1, seed=seed).bands) for seed in range(12)}
    assert len(chosen) > 4
    ids = [CHAIN.model_copy(update={"id": f"other-{n}-v0"}) for n in range(12)]
    assert len({frozenset(mixed(pool, spec, variant="random", k=1).bands) for spec in ids}) > 4


# --- what is refused


def test_a_mixed_env_is_not_mixed_again(pool):
    twice = mixed(pool).spec
    with pytest.raises(DistractorError, match="has distractors already"):
        mixed(pool, twice)
    with pytest.raises(DistractorError, match="has distractors already"):
        ToolPool.of((*OTHERS, twice))


def test_an_env_without_candidates_stays_as_it_is():
    result = mixed(ToolPool.of((CHAIN,)))
    assert result.spec is CHAIN
    assert result.bands == {}


def test_an_env_whose_gold_call_fails_is_named(pool):
    broken = CHAIN.model_copy(update={"data": {**CHAIN.data, "FILMS": {}}})
    with pytest.raises(DistractorError, match="the gold call of 'q2' cannot be made"):
        mixed(pool, broken)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k: .*found 0"),
        ({"bands": []}, "bands"),
        ({"bands": ["higher"]}, "bands.0: .*found 'higher'"),
        ({"variant": "some"}, "variant"),
        ({"kk": 3}, "kk"),
    ],
)
def test_settings_that_make_no_sense_are_named(options, message):
    with pytest.raises(DistractorError, match=message):
        Mixing.of(**options)


@pytest.mark.parametrize(
    ("licenses", "expression"),
    [
        (["MIT"], "MIT"),
        (["MIT OR Apache-2.0"], "MIT OR Apache-2.0"),
        (["MIT", "MIT"], "MIT"),
        (["MIT AND CC-BY-4.0", "CC-BY-4.0", "CC0-1.0"], "MIT AND CC-BY-4.0 AND CC0-1.0"),
        (["MIT OR Apache-2.0", "CC0-1.0"], "(MIT OR Apache-2.0) AND CC0-1.0"),
    ],
)
def test_licences_are_joined(licenses, expression):
    assert _all_of(licenses) == expression


def test_the_terms_of_what_is_mixed_in_are_kept():
    free = Provenance(door="hand", dataset="sums of others", license="CC-BY-4.0", details={"attribution": "others"})
    sums = SUMS.model_copy(update={"provenance": free})
    result = mixed(ToolPool.of((CHAIN, sums)), variant="random").spec
    assert result.provenance.license == "CC0-1.0 AND CC-BY-4.0"
    assert result.provenance.details["distractors"]["datasets"] == ["sums of others"]
    assert result.provenance.dataset == CHAIN.provenance.dataset
