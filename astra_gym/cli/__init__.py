"""The command `astra`. Exit codes: 0 done, 1 the thing checked does not hold, 2 bad usage.

Each command only parses, calls the library and shows the result; what it needs is imported when it runs.
"""

from __future__ import annotations

import sys

import typer

from astra_gym.cli import calibrate, demo, distract, evaluate, make_suites, plugins, synthesize_envs, use_suites
from astra_gym.cli.output import fail
from astra_gym.errors import AstraError, MissingExtraError, ModelError, PipelineError, TableError, UnknownEnvError

app = typer.Typer(
    name="astra",
    help="Verifiable tool-use environments: make them, check them, play them, measure with them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(make_suites.import_app, name="import")
synthesize_envs.add_to(make_suites.synthesize_app)
app.add_typer(make_suites.synthesize_app, name="synthesize")
use_suites.add_to(app)
evaluate.add_to(app)
distract.add_to(app)
demo.add_to(app)
calibrate.add_to(app)

_USAGE = (UnknownEnvError, PipelineError, ModelError, TableError, MissingExtraError)


def main() -> None:
    """Entry point: an error of this library is one readable message, never a traceback."""
    plugins.add_to(app)  # not at import: those packages import parts of this one
    try:
        app()
    except AstraError as error:
        fail(str(error), exit_code=2 if isinstance(error, _USAGE) else 1)
    except KeyboardInterrupt:
        fail("interrupted; what was finished is kept", exit_code=130)
    except BrokenPipeError:
        sys.exit(0)
