"""The rollout server `hf`: a Ray actor around `generation.GenerationEngine`, and the adapter that sends it weights.

Tokens in, tokens out: exact log-probs of the policy that is being trained, in the precision it is trained in.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import ray
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

if TYPE_CHECKING:
    import torch

STOP_REASONS = {"stop": "completed", "length": "length"}


class HFServer:
    """Runs in its own process, as a Ray actor. Each call but `generate` is one of verl's control calls."""

    def __init__(self, model_path: str, max_model_len: int, max_batch: int, threads: int, seed: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from astra_train.chat_tokens import ChatTokens
        from astra_train.generation.engine import GenerationEngine

        self._stop = ChatTokens(AutoTokenizer.from_pretrained(model_path)).stop_token_ids
        model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32)
        self._max_model_len = max_model_len
        self._engine = GenerationEngine(
            model, max_model_len=max_model_len, max_batch=max_batch, threads=threads, seed=seed
        )
        self._version: int | None = None

    async def generate(
        self,
        request_id: str,
        prompt_ids: list[int],
        sampling_params: dict[str, Any],
        image_data: Any = None,
        video_data: Any = None,
        episode: str | None = None,
    ) -> TokenOutput:
        """One turn. Raises: ValueError for a prompt that leaves no room, or for images."""
        from astra_train.generation.sampling import Sampling

        if image_data or video_data:
            raise ValueError("the rollout server `hf` plays text only")
        room = max(1, self._max_model_len - len(prompt_ids))  # too long a prompt is the engine's to refuse
        sampling = Sampling(
            temperature=float(sampling_params.get("temperature", 1.0)),
            top_p=float(sampling_params.get("top_p", 1.0)),
            top_k=int(sampling_params.get("top_k", -1)),
            max_tokens=min(int(sampling_params.get("max_tokens") or room), room),
            stop_token_ids=self._stop,
        )
        future = self._engine.submit(list(prompt_ids), sampling, request_id=episode or request_id)
        generated = await asyncio.wrap_future(future)
        return TokenOutput(
            token_ids=generated.token_ids,
            log_probs=generated.log_probs,
            stop_reason=STOP_REASONS[generated.stop_reason],
            extra_fields={"global_steps": self._version},
        )

    async def update_weights(self, tensors: list[tuple[str, torch.Tensor]], global_steps: int | None) -> None:
        """Take over the policy's weights; generation goes on with them."""
        await asyncio.to_thread(self._engine.update_weights, tensors, global_steps or 0)
        self._version = global_steps

    async def wake_up(self) -> None:
        """The weights never leave the memory."""

    async def sleep(self) -> None:
        """The weights never leave the memory."""

    async def abort_all_requests(self, reject_request: bool = False) -> None:
        """Turns are short: those under way end by themselves."""

    async def resume_generation(self) -> None:
        """Generation was not stopped."""

    async def clear_kv_cache(self) -> None:
        """`update_weights` does it."""

    async def release_kv_cache(self) -> None:
        """The cache is small."""

    async def resume_kv_cache(self) -> None:
        """The cache was not released."""


def server_name(replica_rank: int) -> str:
    """The Ray name of a replica's server."""
    return f"astra_hf_server_{replica_rank}"


def default_threads() -> int:
    """Half of the cores: the agent loop and Ray need the others, and threads that wait for a core cost more."""
    return max(1, (os.cpu_count() or 2) // 2)


class HFReplica(RolloutReplica):
    """Launches the server of one replica."""

    async def launch_servers(self) -> None:
        config = self.config
        context = config.max_model_len or config.prompt_length + config.response_length
        server = (
            ray.remote(HFServer)
            .options(num_cpus=0.1, max_concurrency=self.max_concurrency, name=server_name(self.replica_rank))
            .remote(
                str(self.model_config.path),
                int(context),
                int(config.max_num_seqs),
                int(os.environ.get("ASTRA_ROLLOUT_THREADS") or default_threads()),
                int(config.seed or 0) + self.replica_rank,
            )
        )
        self.servers = [server]
        self._server_handle = server
        self._server_address = server_name(self.replica_rank)


class HFServerAdapter(BaseRollout):
    """Lives beside the trainer's engine and sends its weights to the server."""

    async def resume(self, tags: list[str]) -> None:
        """Nothing was released."""

    async def release(self) -> None:
        """Nothing is to be released."""

    async def update_weights(
        self, weights: Iterable[tuple[str, torch.Tensor]], wire_format: str = "named_tensors", **kwargs: Any
    ) -> None:
        """Send all tensors in one message, in the trainer's precision. Raises: ValueError for another wire format."""
        if wire_format != "named_tensors":
            raise ValueError(f"the rollout server `hf` takes named_tensors, found wire_format={wire_format!r}")
        tensors = [(name, tensor.detach().cpu().float().clone()) for name, tensor in weights]
        server = ray.get_actor(server_name(int(os.environ["RANK"])))
        await server.update_weights.remote(tensors, kwargs.get("global_steps"))
