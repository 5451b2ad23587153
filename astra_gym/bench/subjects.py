"""What the benchmark steps: one env with a dict look-up, and the same look-up as a bare function."""

from __future__ import annotations

from functools import cache

import gymnasium as gym
import orjson
from gymnasium.envs.registration import EnvSpec, registry

from astra_gym.answers import Answer
from astra_gym.certify import certify, with_certificate
from astra_gym.env import ToolEnv
from astra_gym.errors import AstraError
from astra_gym.types import GoldCall, Provenance, Rejected, SubQuestion, ToolEnvSpec, ToolFunction

ORDERS = {f"A-{i:04d}": {"status": "sent" if i % 3 else "open", "total": 10.0 + i} for i in range(60)}
ARGUMENTS = b'{"order_id": "A-0042"}'
ACTION = '<tool_call>{"name": "get_order", "arguments": {"order_id": "A-0042"}}</tool_call>'
ENV_ID = "astra-bench/lookup-v0"
LONG = 10**9
"""Turns allowed: an episode that a benchmark never ends."""


def bare_get_order(order_id: str) -> dict[str, object]:
    """The tool as plain Python."""
    if order_id not in ORDERS:
        raise ValueError(f"no order {order_id}")
    order = ORDERS[order_id]
    return {"order_id": order_id, "status": order["status"], "total": order["total"]}


SOURCE = """
def get_order(order_id):
    if order_id not in ORDERS:
        raise ValueError(f"no order {order_id}")
    order = ORDERS[order_id]
    return {"order_id": order_id, "status": order["status"], "total": order["total"]}
"""


@cache
def lookup_spec() -> ToolEnvSpec:
    """A certified env of one look-up tool over sixty rows."""
    schema = {
        "type": "object",
        "properties": {"order_id": {"type": "string", "description": "Like A-0000."}},
        "required": ["order_id"],
        "additionalProperties": False,
    }
    answer = Answer(kind="number", value=52.0)
    call = GoldCall(tool="get_order", arguments={"order_id": "A-0042"})
    question = "What is the total of order A-0042?"
    spec = ToolEnvSpec(
        id="lookup-v0",
        question=question,
        answer=answer,
        sub_questions=(SubQuestion(id="q1", question=question, answer=answer, call=call, result_path="/total"),),
        tools=(ToolFunction(name="get_order", description="Look up an order.", parameters=schema, source=SOURCE),),
        data={"ORDERS": ORDERS},
        max_turns=LONG,
        provenance=Provenance(door="hand", dataset="astra-gym benchmark", license="CC0-1.0"),
    )
    certificate = certify(spec)
    if isinstance(certificate, Rejected):
        raise AstraError(f"the benchmark's env is not certified here: {certificate.stage}: {certificate.reason}")
    return with_certificate(spec, certificate)


def make_lookup(isolation: str) -> gym.Env[str, str]:
    """The look-up env through `gym.make`, with its default wrappers, reset."""
    if ENV_ID not in registry:
        registry[ENV_ID] = EnvSpec(ENV_ID, entry_point=lambda **options: ToolEnv(lookup_spec(), **options))
    env: gym.Env[str, str] = gym.make(ENV_ID, isolation=isolation)
    env.reset(seed=0)
    return env


def parse_and_call() -> dict[str, object]:
    """The yardstick: `orjson.loads` of the arguments and the bare function."""
    return bare_get_order(**orjson.loads(ARGUMENTS))
