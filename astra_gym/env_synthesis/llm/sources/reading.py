"""Items of a run: inputs in order, each content asked about as often and as deep as the options say.

The same inputs and options give the same items on every run and machine. Of two equal items the second is a `Rejected`
of stage `duplicate`, what is no item one of stage `read`, each in its place with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

from pydantic import ValidationError

from astra_gym.env_synthesis.llm.items import LlmItem, Mode, Origin
from astra_gym.env_synthesis.llm.sources.contents import Content, told, unread
from astra_gym.env_synthesis.llm.sources.options import SWEPT, HopRange, SourceOptions
from astra_gym.env_synthesis.llm.sources.rows import Reader, read_corpora, read_domains, read_questions
from astra_gym.env_synthesis.llm.sources.suites import read_envs, read_given
from astra_gym.env_synthesis.llm.sources.taxonomy import read_taxonomy
from astra_gym.errors import PipelineError
from astra_gym.records import JSON, canonical_json, content_hash
from astra_gym.types import Rejected, ScenarioType

_READERS: dict[Mode, Reader] = {
    "corpus": read_corpora,
    "domain": read_domains,
    "context": read_corpora,
    "question": read_questions,
    "taxonomy": read_taxonomy,
    "augment": read_envs,
    "given": read_given,
}
_FOLDERS: frozenset[Mode] = frozenset({"corpus", "context", "taxonomy", "augment", "given"})
_SHAPED: frozenset[Mode] = frozenset({"corpus", "domain", "context", "taxonomy", "augment"})
"""Modes in which the writer chooses the question, so that a shape and a depth can be asked for."""
_SINGLE: frozenset[ScenarioType] = frozenset({"Single-Hop", "Parallel Single-Hop"})


def read_items(mode: Mode, paths: Sequence[Path], options: SourceOptions | None = None) -> Iterator[LlmItem | Rejected]:
    """The items of `paths`, in the order of the paths and of what stands in them.

    Args:
        paths: files or, where the mode reads them, folders. Mode `domain` may do without: then `options.domain` is it.

    Raises: PipelineError at once when an input is missing or the options contradict each other, and later when a file
        cannot be read any more; SuiteError when a path of mode `augment` holds no suite.
    """
    options = options or SourceOptions()
    _check(mode, paths, options)
    return _unique(item for content in _contents(mode, paths, options) for item in _items(mode, content, options))


def _check(mode: Mode, paths: Sequence[Path], options: SourceOptions) -> None:
    if not paths and not (mode == "domain" and options.domain):
        also = ", or a domain by --domain" if mode == "domain" else ""
        raise PipelineError(f"mode {mode!r} reads at least one file{also}; found none")
    for path in paths:
        if not path.exists():
            raise PipelineError(f"{path}: no such file or folder")
        if path.is_dir() and mode not in _FOLDERS:
            raise PipelineError(
                f"{path}: is a folder, mode {mode!r} reads files; folders are read by {sorted(_FOLDERS)}"
            )
    if options.scenarios and mode not in _SHAPED:
        raise PipelineError(f"mode {mode!r} takes questions as they are: no scenario can be asked for")
    deep = [name for name, weight in options.scenarios.items() if weight and name not in _SINGLE]
    if deep and options.hops(mode).high < 2:
        raise PipelineError(f"scenarios {deep} need max_hops of at least 2, found {options.hops(mode).high}")


def _contents(mode: Mode, paths: Sequence[Path], options: SourceOptions) -> Iterator[Content | Rejected]:
    if not paths and options.domain:
        yield Content(options.domain, options.language, Origin(file="--domain"))
    for path in paths:
        yield from _READERS[mode](path, options)


def _items(mode: Mode, content: Content | Rejected, options: SourceOptions) -> Iterator[LlmItem | Rejected]:
    """The items of one content: one for each hop value that is swept, and each repeat."""
    if isinstance(content, Rejected):
        yield content
        return
    wanted = options.hops(mode)
    swept = [HopRange(hops, hops) for hops in range(wanted.low, wanted.high + 1)] if mode in SWEPT else [wanted]
    slots = [hops for hops in swept for _ in range(options.repeats)]
    for slot, hops in enumerate(slots):
        scenario = _drawn(content, slot, options)
        bounds = _fitting(hops, scenario)
        # With a mix of shapes two slots may ask for the same depth, so that the slot itself tells them apart.
        repeat = slot if options.scenarios else slot % options.repeats
        try:
            yield _item(mode, content, bounds, scenario, repeat, options)
        except ValidationError as error:
            origin = content.origin
            yield unread(origin.file, origin.line, told(error), canonical_json(_key(content)))


def _item(
    mode: Mode, content: Content, hops: HopRange, scenario: ScenarioType | None, repeat: int, options: SourceOptions
) -> LlmItem:
    grounded = mode == "corpus" if options.grounded is None else options.grounded
    masked = bool(content.examples) and _fraction(["mask", options.seed, _key(content)]) < options.mask_examples
    return LlmItem.make(
        mode,
        domain=content.domain,
        language=content.language,
        knowledge=content.knowledge,
        grounded=grounded and mode in {"corpus", "context"},
        question=content.question,
        examples=() if masked else content.examples,
        min_hops=hops.low,
        max_hops=hops.high,
        scenario=scenario,
        repeat=repeat,
        tool_spec=content.tool_spec,
        decomposition=content.decomposition,
        answer_from=content.answer_from,
        origin=content.origin,
        license=options.license,
        attribution=options.attribution,
    )


def _drawn(content: Content, slot: int, options: SourceOptions) -> ScenarioType | None:
    """The shape that is this slot's, by weight and by content: not by its place among other items."""
    if not options.scenarios:
        return None
    left = _fraction(["scenario", options.seed, slot, _key(content)]) * sum(options.scenarios.values())
    names: tuple[ScenarioType, ...] = tuple(
        name for name in get_args(ScenarioType) if options.scenarios.get(name, 0.0) > 0
    )
    for name in names:
        left -= options.scenarios[name]
        if left < 0:
            return name
    return names[-1]


def _fitting(hops: HopRange, scenario: ScenarioType | None) -> HopRange:
    """The depths that a shape can have within (or next to) a range."""
    if scenario is None:
        return hops
    return HopRange(1, 1) if scenario in _SINGLE else HopRange(max(2, hops.low), max(2, hops.high))


def _key(content: Content) -> JSON:
    spec, given = content.tool_spec, content.decomposition
    hashes = [spec.content_hash() if spec else None, content_hash(given.to_json()) if given else None]
    return [content.domain, content.language, content.knowledge, content.question, list(content.examples), hashes]


def _fraction(value: JSON) -> float:
    """A number in [0, 1) that `value` decides."""
    return int(content_hash(value).removeprefix("sha256:")[:13], 16) / 16**13


def _unique(items: Iterator[LlmItem | Rejected]) -> Iterator[LlmItem | Rejected]:
    """`items` with a name of its own for each: a second one of the same id is a duplicate of the first."""
    count: dict[str, int] = {}
    first: dict[str, str] = {}
    for item in items:
        count[item.id] = count.get(item.id, 0) + 1
        where = _where(item)
        if count[item.id] == 1:
            first[item.id] = where
            yield item
            continue
        new_id = f"{item.id}-twin{count[item.id] - 1}"
        if isinstance(item, Rejected):
            yield item.model_copy(update={"id": new_id})
        else:
            yield Rejected(
                id=new_id, stage="duplicate", reason=f"{where}: the same content as {first[item.id]}", evidence=item.id
            )


def _where(item: LlmItem | Rejected) -> str:
    if isinstance(item, Rejected) or item.origin is None:
        return item.id
    origin = item.origin
    return origin.file if origin.line is None else f"{origin.file}:{origin.line}"
