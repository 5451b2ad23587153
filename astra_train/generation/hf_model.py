"""A Hugging Face model as a player: `hf:DIR` on the command line, `HFModel` in Python.

Tokens in, tokens out: an episode's token ids only ever grow, by what was sampled and by the messages that came back, as
in training (`chat_tokens.py`). One engine serves any number of episodes in as many threads.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from astra_gym.errors import AstraError, MissingExtraError, ModelError
from astra_gym.tool_calls.rendering import CALL_OPEN
from astra_gym.types import Message, ToolEnvSpec

if TYPE_CHECKING:
    from astra_train.chat_tokens import ChatTokens
    from astra_train.generation.engine import GenerationEngine
    from astra_train.generation.sampling import Generated


@dataclass(frozen=True, slots=True)
class HFOptions:
    """How a Hugging Face model is loaded and how it writes."""

    temperature: float = 1.0
    """0: always the most likely token. The default, without top_p and top_k, is what a policy is trained on."""
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int = 1024
    """Longest turn, in tokens."""
    max_model_len: int | None = None
    """Longest episode, in tokens; None: all positions that the model has."""
    device: str = "auto"
    """"auto": cuda where there is one, else cpu."""
    dtype: str = "auto"
    """"auto": float32 on a CPU, else as the weights are stored; or "float32", "bfloat16", "float16"."""
    batch: int = 64
    """Most episodes computed at once."""
    threads: int | None = None
    """Of torch; None: torch's own choice."""
    cache_gib: float = 2.0
    """Most memory for keys and values, in GiB."""
    seed: int = 0
    """Of all sampling: the same seed, env and episode seed write the same turns; playing them again writes others."""

    @classmethod
    def from_names(cls, options: dict[str, Any]) -> HFOptions:
        """Raises: ModelError naming the options there are."""
        known = [f.name for f in fields(cls)]
        if odd := sorted(set(options) - set(known)):
            raise ModelError(f"hf: no option {', '.join(odd)}; there are {', '.join(known)}")
        return cls(**options)


class HFModels:
    """One loaded model and its engine; each call makes a player for one episode at a time."""

    def __init__(self, engine: GenerationEngine, chat: ChatTokens, name: str, options: HFOptions | None = None) -> None:
        self.engine = engine
        self.chat = chat
        self.name = name
        self.options = options or HFOptions()
        self.lock = threading.Lock()
        """For the tokenizer, which is not made for several threads."""
        self._played: Counter[tuple[str, int]] = Counter()

    @classmethod
    def load(cls, source: str, **options: Any) -> HFModels:
        """Load a folder or a hub id.

        Args:
            options: those of `HFOptions`.

        Raises: MissingExtraError without torch and transformers; ModelError when it cannot be loaded; ChatTemplateError
            when its chat template carries no tools; UnsupportedModelError when the engine does not compute it exactly.
        """
        chosen = HFOptions.from_names(options)
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingExtraError(
                f"hf:{source} needs torch and transformers: pip install 'astra-gym[train]'"
            ) from error
        from astra_train.chat_tokens import ChatTokens
        from astra_train.generation.engine import GenerationEngine

        device = chosen.device if chosen.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        dtype = "float32" if chosen.dtype == "auto" and device == "cpu" else chosen.dtype
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source)
            model = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
            torch.nn.Module.to(model, device)
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            raise ModelError(f"hf:{source}: cannot be loaded ({error})") from error
        limit = chosen.max_model_len or getattr(model.config.get_text_config(), "max_position_embeddings", None) or 4096
        chat = ChatTokens(tokenizer)
        try:
            engine = GenerationEngine(
                model,
                max_model_len=limit,
                max_batch=chosen.batch,
                threads=chosen.threads,
                cache_bytes=int(chosen.cache_gib * 2**30),
            )
        except ValueError as error:
            if isinstance(error, AstraError):
                raise
            raise ModelError(f"hf:{source}: {error}") from error
        return cls(engine, chat, f"hf:{source.rstrip('/').rsplit('/', 1)[-1]}", chosen)

    def __call__(self) -> HFModel:
        return HFModel(self)

    def next_sample(self, env_id: str, seed: int) -> int:
        """How often this episode has been begun before."""
        with self.lock:
            self._played[env_id, seed] += 1
            return self._played[env_id, seed] - 1

    def close(self) -> None:
        """Stop the engine; players still waiting get a ModelError."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class HFModel:
    """A `ChatModel` on a shared engine.

    A turn that is cut off, by `max_tokens` or because the context is full, ends the episode as in training: what
    stands before its first call is the final answer (nothing, when the context was full before the turn), so that the
    episode is scored as far as it went. `usage["cut_off"]` is 1 then.
    """

    def __init__(self, models: HFModels) -> None:
        self.usage: dict[str, int] = {}
        """Requests and tokens of the episode so far, counted as OpenAI's endpoints do."""
        self._models = models
        self._cut_off = False
        self._reset(("", 0, 0))

    @classmethod
    def load(cls, source: str, **options: Any) -> HFModel:
        """A player of its own engine: `HFModels.load(source, **options)()`."""
        return HFModels.load(source, **options)()

    @property
    def name(self) -> str:
        return self._models.name

    @property
    def token_ids(self) -> list[int]:
        """Everything read and written in this episode."""
        return list(self._ids)

    def begin_episode(self, spec: ToolEnvSpec, seed: int) -> None:
        self._reset((spec.id, seed, self._models.next_sample(spec.id, seed)))

    def reply(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> str:
        """The next turn.

        Raises: ModelError when the question with its tools does not fit the model's context, when messages do not
            continue those of the last call, or when the engine failed.
        """
        self._read(messages, tools)
        limit = self._models.engine.max_model_len
        if self._turns == 0 and len(self._ids) >= limit:
            raise ModelError(
                f"{self.name}: question and tools take {len(self._ids)} tokens, the context (max_model_len) has {limit}"
            )
        if self._cut_off or len(self._ids) >= limit:
            self.usage["cut_off"] = 1
            return ""
        generated = self._generate()
        self._ids += generated.token_ids
        self._turns += 1
        if generated.stop_reason == "length":
            self._cut_off = True
            self.usage["cut_off"] = 1
        with self._models.lock:
            text = self._models.chat.decode(generated.token_ids)
        return text.partition(CALL_OPEN)[0] if self._cut_off else text

    def close(self) -> None:
        """Stop the engine, also for the other players on it."""
        self._models.close()

    def _reset(self, episode: tuple[str, int, int]) -> None:
        self._episode = episode
        self._ids: list[int] = []
        self._seen = 0
        self._turns = 0
        self._cut_off = False
        self.usage = {}

    def _read(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> None:
        """Add the messages that are new; the first of them is the turn written last, whose tokens are there already."""
        if self._turns and (len(messages) <= self._seen or messages[self._seen]["role"] != "assistant"):
            raise ModelError(f"{self.name}: the messages do not continue the last turn; begin_episode starts anew")
        with self._models.lock:
            if not self._turns:
                self._ids = self._models.chat.initial(messages, tools)
            elif not self._cut_off:
                self._ids += self._models.chat.context(messages[self._seen + 1 :])
        self._seen = len(messages)

    def _generate(self) -> Generated:
        from astra_train.generation.errors import GenerationError
        from astra_train.generation.sampling import Sampling

        options = self._models.options
        words = f"{options.seed}|{self._episode}|{self._turns}".encode()
        sampling = Sampling(
            max_tokens=options.max_tokens,
            stop_token_ids=self._models.chat.stop_token_ids,
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            seed=int.from_bytes(hashlib.blake2b(words, digest_size=8).digest()),
        )
        try:
            generated = self._models.engine.submit(self._ids, sampling, f"{id(self)}|{self._episode}").result()
        except GenerationError as error:
            raise ModelError(f"{self.name}: {error}") from error
        counts = (1, len(self._ids), len(generated.token_ids), len(self._ids) + len(generated.token_ids))
        for key, count in zip(("requests", "prompt_tokens", "completion_tokens", "total_tokens"), counts, strict=True):
            self.usage[key] = self.usage.get(key, 0) + count
        return generated


def hf_models(name: str, **options: Any) -> HFModels:
    """What makes players of `hf:NAME`: loaded once, called for each player (the entry point of `astra_gym.models`).

    Args:
        name: a folder or a hub id, "hf:" before it or not.
        options: those of `HFOptions`.

    Raises: as `HFModels.load`.
    """
    return HFModels.load(name.removeprefix("hf:"), **options)
