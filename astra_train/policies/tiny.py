"""A language model of a million parameters from scratch: a policy that a laptop trains in minutes.

Its shape is Qwen3's, its tokenizer is trained on the texts given, its chat template carries tools as signatures (name,
parameters and their types; no descriptions, which a model this small would have to read at every turn). It is an
ordinary Hugging Face folder: everything else treats it like any other model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from astra_train.policies.copying import install_copying
from astra_train.policies.portable import make_portable
from astra_train.versions import require_training

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3Config

END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL_TOKENS = (
    END_OF_TEXT,
    TURN,
    END_OF_TURN,
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
PIECES = r" ?_?\p{L}+|\p{N}|\s+|[^\s\p{L}\p{N}]+"
"""What is split before byte pairs are merged: words (with the underscore before them, as in tool names), single digits,
runs of punctuation (so that the frame of a call becomes a few tokens)."""
ROPE_THETA = 1e6
"""Qwen3's own."""
INITIAL_STD = 0.05
"""Of the weights: a width of 128 wants more than the 0.02 of wide models."""
CHAT_TEMPLATE = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for message in messages if message.role == 'system' %}{{- message.content + '\\n' }}{%- endfor %}
    {%- for tool in tools %}
        {%- set function = tool.function if tool.function is defined else tool %}
        {{- function.name + '(' }}
        {%- for name, schema in (function.parameters.properties or {}).items() %}
            {{- name }}
            {%- if schema.type is defined and schema.type != 'string' %}{{- ': ' ~ schema.type }}{%- endif %}
            {%- if not loop.last %}{{- ', ' }}{%- endif %}
        {%- endfor %}
        {{- ')\\n' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>tool\\n' }}{%- endif %}
        {{- '<tool_response>' + message.content + '</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- elif message.role == 'assistant' and message.tool_calls %}
        {{- '<|im_start|>assistant\\n' + (message.content or '') }}
        {%- for call in message.tool_calls %}
            {%- set function = call.function if call.function is defined else call %}
            {{- '<tool_call>{"name":"' + function.name + '","arguments":' }}
            {{- function.arguments if function.arguments is string else function.arguments | tojson }}
            {{- '}</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role != 'system' or not tools %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


@dataclass(frozen=True, slots=True)
class TinyShape:
    """The size of the model; the defaults make about 1.2 million parameters."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    vocabulary: int = 2048
    """Tokens at most; fewer when the texts are few."""
    context: int = 4096
    """Longest sequence, in tokens."""
    copying: bool = True
    """Start with heads that copy (see `install_copying`), for which `has_room` must hold."""


def tiny_tokenizer(texts: Iterable[str], vocabulary: int, context: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer trained on `texts`, with the chat template; any text can be written with it."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[TURN, END_OF_TURN],
        model_max_length=context,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_config(shape: TinyShape, tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    """Qwen3's configuration at this size. Raises: ValueError when the width does not divide by the heads."""
    from transformers import Qwen3Config

    if shape.hidden % shape.heads:
        raise ValueError(f"hidden ({shape.hidden}) must be a multiple of heads ({shape.heads})")
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        head_dim=shape.hidden // shape.heads,
        max_position_embeddings=shape.context,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        initializer_range=INITIAL_STD,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_tiny(directory: str | Path, texts: Iterable[str], shape: TinyShape | None = None, seed: int = 0) -> int:
    """Write an untrained tiny policy as a Hugging Face folder; returns its number of parameters.

    Args:
        texts: what the tokenizer is trained on, for instance questions and calls of the training envs.
        seed: of the initial weights.

    Raises: MissingExtraError without torch and transformers; ValueError when the shape does not fit together.
    """
    require_training("torch", "transformers")
    import torch
    from transformers import Qwen3ForCausalLM

    shape = shape or TinyShape()
    tokenizer = tiny_tokenizer(texts, shape.vocabulary, shape.context)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen3ForCausalLM(tiny_config(shape, tokenizer))
        if shape.copying:
            install_copying(model)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    make_portable(directory)
    return sum(parameter.numel() for parameter in model.parameters())
