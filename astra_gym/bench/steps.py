"""Latency of one step, of its layers, and of what peers do for one tool call."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator

import gymnasium as gym
import orjson

from astra_gym.bench.figures import Figure, median_us
from astra_gym.bench.subjects import ACTION, ARGUMENTS, lookup_spec, make_lookup, parse_and_call
from astra_gym.env import ToolEnv
from astra_gym.sandbox import ArgumentValidator, Program, make_executor
from astra_gym.tool_calls import parse_turn
from astra_gym.types import ToolCall
from astra_gym.verifier import EpisodeVerifier

YARDSTICK = "orjson.loads + bare function"


def _size(quick: bool) -> tuple[int, int]:
    """Rounds and calls a round."""
    return (31, 200) if quick else (101, 500)


def step_figures(quick: bool) -> Iterator[Figure]:
    """One look-up step in process and isolated, single and batched by 64."""
    inside, outside = make_lookup("inprocess"), make_lookup("worker")
    cart = gym.make("CartPole-v1", max_episode_steps=10**9)
    cart.reset(seed=0)

    def cart_step() -> None:
        if cart.step(0)[2]:
            cart.reset()

    batch = ACTION * 64
    rounds, calls = _size(quick)
    taken = median_us(
        {
            "bare": parse_and_call,
            "cart": cart_step,
            "inside": lambda: inside.step(ACTION),
            "outside": lambda: outside.step(ACTION),
        },
        rounds=rounds,
        calls=calls,
    )
    batched = median_us({"outside": lambda: outside.step(batch)}, rounds=rounds, calls=max(1, calls // 64))
    inside.close()
    outside.close()
    bare = taken["bare"]
    common = {"unit": "us", "yardstick": YARDSTICK, "yardstick_value": bare}
    yield Figure(name="step in process, gym.make", value=taken["inside"], budget=20, **common)
    yield Figure(name="the same as a multiple of the yardstick", value=taken["inside"] / bare, unit="times", budget=6)
    yield Figure(name="step in a locked-down worker", value=taken["outside"], budget=40, **common)
    yield Figure(name="the same, 64 calls a step, each", value=batched["outside"] / 64, budget=10, **common)
    yield Figure(name="Gymnasium's CartPole-v1 step", value=taken["cart"], **common)


def layer_figures(quick: bool) -> Iterator[Figure]:
    """Where the time of a step goes."""
    spec = lookup_spec()
    program = Program.from_spec(spec)
    inside, outside = make_executor(program, "inprocess"), make_executor(program, "worker")
    validator = ArgumentValidator(spec.tools[0])
    call = ToolCall("get_order", orjson.loads(ARGUMENTS))
    inside.reset(0)
    outside.reset(0)
    result = inside(call)
    verifier = EpisodeVerifier(spec)
    env = ToolEnv(spec, isolation="inprocess")
    env.reset(seed=0)
    wrapped = make_lookup("inprocess")
    layers: dict[str, Callable[[], object]] = {
        "bare": parse_and_call,
        "parse the assistant's text": lambda: parse_turn(ACTION),
        "validate the arguments": lambda: validator.check(call.arguments),
        "validate and call, in process": lambda: inside(call),
        "validate and call, worker": lambda: outside(call),
        "verify the result": lambda: verifier.observe(call, result, 0),
        "ToolEnv.step": lambda: env.step(ACTION),
        "the same with gym.make's wrappers": lambda: wrapped.step(ACTION),
    }
    rounds, calls = _size(quick)
    taken = median_us(layers, rounds=rounds, calls=calls)
    for closable in (inside, outside, env, wrapped):
        closable.close()
    bare = taken.pop("bare")
    for name, value in taken.items():
        yield Figure(name=name, value=value, unit="us", yardstick=YARDSTICK, yardstick_value=bare)


def peer_figures(quick: bool) -> Iterator[Figure]:
    """A tool call as others make it: a Python process each, and GEM's Python tool when it is installed."""
    ours = make_lookup("worker")
    once = 3 if quick else 15
    peers: dict[str, Callable[[], object]] = {
        "a `python -c` per call": lambda: subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True),
    }
    if importlib.util.find_spec("gem") is not None:
        from gem.tools.python_code_tool import PythonCodeTool

        tool = PythonCodeTool()
        peers["gem-llm's Python tool"] = lambda: tool.execute_action("<python>print(1)</python>")
    taken = median_us({"ours": lambda: ours.step(ACTION), **peers}, rounds=once, calls=2)
    ours.close()
    for name in peers:
        yield Figure(
            name=name, value=taken[name], unit="us", yardstick="our step, worker", yardstick_value=taken["ours"]
        )
