"""Stage `cluster`: which of an instance's tools have one intent, so that one tool may serve them all.

Rules first: tools that cannot be one are never put together, and where no two could be, nobody is asked. The writer's
clusters must be a partition: every tool in exactly one.
"""

from __future__ import annotations

from collections.abc import Sequence

from astra_gym.env_synthesis.llm.drafted import Drafted
from astra_gym.env_synthesis.llm.feedback import Unfit, written
from astra_gym.env_synthesis.llm.intents import ToolKey, tool_key
from astra_gym.env_synthesis.llm.made import MadeTool, kind_of
from astra_gym.env_synthesis.llm.replies import ClusterReply
from astra_gym.llm.prompts import render
from astra_gym.llm.session import LlmSession
from astra_gym.records import JSON


async def find_clusters(drafted: Drafted, made: Sequence[MadeTool], llm: LlmSession) -> list[list[MadeTool]]:
    """The groups of two and more that are to become one tool, members in the given order. Raises: NotAccepted."""
    decomposition = drafted.decomposition
    keys = {one.sub_id: tool_key(one, decomposition.by_id[one.sub_id].answer) for one in made}
    if len(set(keys.values())) == len(made):
        return []
    prompt = render(
        "cluster",
        language=drafted.item.language,
        reply=ClusterReply,
        question=decomposition.question,
        tools=[_told(drafted, one) for one in made],
    )
    ids = [one.sub_id for one in made]
    reply = await written(llm, prompt, ClusterReply, check=lambda reply: check_partition(reply, ids))
    return refined(reply, made, keys)


def check_partition(reply: ClusterReply, ids: Sequence[str]) -> None:
    """Raises: Unfit when some id is in no cluster, in two, or unknown."""
    named = [key for cluster in reply.clusters for key in cluster.ids]
    if unknown := sorted(set(named) - set(ids)):
        raise Unfit(f"there is no {unknown}; the ids are {list(ids)}")
    if missing := [key for key in ids if key not in named]:
        raise Unfit(f"{missing} are in no cluster; every id must be in exactly one, alone if need be")
    if twice := sorted({key for key in named if named.count(key) > 1}):
        raise Unfit(f"{twice} are in more than one place; every id must be in exactly one cluster, once")


def refined(reply: ClusterReply, made: Sequence[MadeTool], keys: dict[str, ToolKey]) -> list[list[MadeTool]]:
    """The clusters, each parted by what the rules hold apart; those of one member left out."""
    groups: dict[tuple[int, ToolKey], list[MadeTool]] = {}
    for one in made:
        number = next(i for i, cluster in enumerate(reply.clusters) if one.sub_id in cluster.ids)
        groups.setdefault((number, keys[one.sub_id]), []).append(one)
    return [members for members in groups.values() if len(members) > 1]


def _told(drafted: Drafted, one: MadeTool) -> dict[str, JSON]:
    sub = drafted.decomposition.by_id[one.sub_id]
    return {
        "id": one.sub_id,
        "question": sub.question,
        "name": one.tool.name,
        "description": one.tool.description,
        "parameters": one.tool.parameters,
        "answer_kind": kind_of(sub.answer),
    }
