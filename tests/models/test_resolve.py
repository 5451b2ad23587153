"""Factories of models: what is costly is made once, and other packages add models by an entry point."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from astra_gym.errors import ModelError
from astra_gym.models import BASELINES, MODEL_NAMES, OpenAIModel, resolve_models
from astra_gym.models.resolve import check_model_name, default_concurrency, takes_sampling
from tests.models.chat_server import completion, serving
from tests.specs import CHAIN

QUESTION = [{"role": "user", "content": "Where?"}]


@pytest.mark.parametrize("name", [n for n in MODEL_NAMES if ":" not in n])
def test_a_factory_makes_as_many_as_are_asked_for(name: str) -> None:
    make = resolve_models(name, temperature=None)
    first, second = make(), make()
    assert first is not second
    assert first.name == second.name == name
    assert not takes_sampling(name)
    assert default_concurrency(name) == 1


def test_the_baselines_are_models() -> None:
    for name in BASELINES:
        check_model_name(name)


def test_models_of_an_endpoint_share_its_connections_and_nothing_else() -> None:
    with serving(completion("Oslo")) as server:
        make = resolve_models("openai:authored", base_url=server.base_url, temperature=0.5, top_k=7, max_tokens=None)
        models = [make() for _ in range(8)]
        assert len({id(model._client) for model in models if isinstance(model, OpenAIModel)}) == 1

        def play(number: int) -> int:
            models[number].begin_episode(CHAIN, 0)
            for _ in range(number + 1):
                assert models[number].reply(QUESTION, []) == "Oslo"  # type: ignore[arg-type]
            return int(models[number].usage["requests"])  # type: ignore[attr-defined]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(play, range(8))) == list(range(1, 9))
        for model in models[:7]:
            model.close()  # type: ignore[attr-defined]
        models[7].reply(QUESTION, [])  # type: ignore[arg-type]
        assert server.requests[0]["temperature"] == 0.5
        assert server.requests[0]["top_k"] == 7
        assert "max_tokens" not in server.requests[0]


PLUGIN = """
from astra_gym.models import ScriptedModel

loads = []

def models(name, **options):
    if name == "torchless":
        import no_such_package
    loads.append(name)
    def make():
        model = ScriptedModel("done")
        model.name = f"odd:{name} {sorted(options.items())} {len(loads)}"
        return model
    return make
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package with a model of the prefix "odd"."""
    (tmp_path / "odd_models.py").write_text(PLUGIN)
    info = tmp_path / "odd_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-models\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[astra_gym.models]\nodd = odd_models:models\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("odd_models", None)


@pytest.mark.usefixtures("plugin")
def test_another_package_adds_a_model() -> None:
    make = resolve_models("odd:some/folder:x", temperature=0.1, top_p=None)
    assert make().name == make().name == "odd:some/folder:x [('temperature', 0.1)] 1"
    assert takes_sampling("odd:x")
    assert default_concurrency("odd:x") == 64
    with pytest.raises(ModelError, match="no model 'odd:'"):
        resolve_models("odd:")


@pytest.mark.usefixtures("plugin")
def test_what_a_model_needs_and_is_not_there_is_an_extra() -> None:
    with pytest.raises(ImportError, match=r"odd:torchless needs packages: pip install 'astra-gym\[train\]' .*no_such"):
        resolve_models("odd:torchless")


def test_names_are_checked_without_loading_anything() -> None:
    code = (
        "import sys\nfrom astra_gym.models.resolve import check_model_name\n"
        "check_model_name('openai:x')\ncheck_model_name('oracle')\n"
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
