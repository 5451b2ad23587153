"""Write the envs of the authored topics into `env_specs/`. Run it again and the same bytes come out.

The replies in `examples/authored/` go through the whole of `astra synthesize envs` (see `synthesize_envs.py`, which
this imports); what is kept gets the name of its topic and says in its provenance that its replies were authored and its
world is invented, and is certified again.

python examples/make_authored_specs.py [FOLDER]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from synthesize_envs import AUTHORED, Result, run_all

from astra_gym.certify import Certifier
from astra_gym.errors import CertificateError
from astra_gym.llm.authored import AuthoredServer
from astra_gym.llm.authored_topics import read_topics
from astra_gym.records import JSON
from astra_gym.suite import open_suite, write_suite
from astra_gym.types import Certificate, Provenance, ToolEnvSpec

PREFIX = "written-"
DATASET = "authored topics of astra-gym (examples/authored)"
LICENSE = "Apache-2.0"
NOTE = (
    "The replies of the language model were authored by hand, and so was what the env is about: "
    "its places, persons and figures are invented."
)
KEPT_DETAILS = ("mode", "verdicts", "replies")
"""Of what a run notes; files, items and the day are of one run."""


def name_of(topic_id: str) -> str:
    """The env's id. The names of these envs sort behind those made from tables."""
    return f"{PREFIX}{topic_id}-v0"


def shipped(results: Iterable[Result]) -> Iterator[ToolEnvSpec]:
    """The envs that were kept, as they are shipped. Raises: CertificateError when one does not hold."""
    kept = [(result.topic.id, result.outcome) for result in results if isinstance(result.outcome, ToolEnvSpec)]
    names = {spec.id: name_of(topic_id) for topic_id, spec in kept}
    with Certifier() as certifier:
        for topic_id, made in kept:
            spec = made.model_copy(
                update={"id": name_of(topic_id), "provenance": _provenance(topic_id, made, names), "certificate": None}
            )
            certificate = certifier.certify(spec)
            if not isinstance(certificate, Certificate):
                raise CertificateError(f"{spec.id}: {certificate.stage}: {certificate.reason}")
            yield spec.model_copy(update={"certificate": certificate})


def _provenance(topic_id: str, made: ToolEnvSpec, names: dict[str, str]) -> Provenance:
    noted = made.provenance.details
    details: dict[str, JSON] = {"note": NOTE, **{key: noted[key] for key in KEPT_DETAILS}}
    if tools_of := noted.get("tools_of"):
        details["tools_of"] = names[tools_of]
    return Provenance(
        door="llm",
        dataset=DATASET,
        license=LICENSE,
        record=f"{topic_id}.json",
        generator=made.provenance.generator,
        details=details,
    )


def main(folder: Path) -> None:
    os.environ.setdefault("OPENAI_API_KEY", "none needed")
    topics = read_topics(AUTHORED)
    with AuthoredServer.of(topics) as server, tempfile.TemporaryDirectory() as runs:
        specs = list(shipped(run_all(topics, Path(runs), server.base_url)))
    others = [spec for spec in open_suite(folder) if spec.provenance.door != "llm"] if folder.exists() else []
    write_suite(folder, [*others, *specs], overwrite=True)
    size = sum(path.stat().st_size for path in folder.glob("*.json"))
    print(f"{len(specs)} authored envs beside {len(others)} others, {size / 1e6:.2f} MB in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent / "env_specs")
