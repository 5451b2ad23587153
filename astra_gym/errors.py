"""Everything this library raises: one root, and each child is also the stdlib error a caller would expect.

A model's mistake is never one of these (it is an observation, `types.ToolError`), and an item that a pipeline
drops is a value (`types.Rejected`). These are for a caller, an author or an operator: each message says where,
what was found and what would do.
"""

from __future__ import annotations


class AstraError(Exception):
    """Root of every error that `astra_gym` raises on purpose."""


class SpecError(AstraError, ValueError):
    """An environment record contradicts itself or cannot be read."""


class CertificateError(SpecError):
    """A spec has no certificate, or its content no longer matches the one it carries."""


class AnswerError(AstraError, ValueError):
    """A typed answer cannot be built from what was given."""


class SuiteError(AstraError, ValueError):
    """A suite file is missing, truncated, corrupt or holds an id twice."""


class UnknownEnvError(AstraError, LookupError):
    """No env of that id; the message names the nearest ones."""


class PolicyError(AstraError, ValueError):
    """Tool source that the sandbox policy refuses; the message carries line, rule and a hint."""


class SandboxError(AstraError, RuntimeError):
    """The sandbox itself failed (a worker could not be started, a required lock is missing): not a tool's fault."""


class TableError(AstraError, ValueError):
    """A table or its description cannot be used; the message names the table, the row or the column."""


class ModelError(AstraError, RuntimeError):
    """A chat model did not answer: endpoint down, refused, timed out, or replied with something unusable."""


class PipelineError(AstraError, RuntimeError):
    """A synthesis or import run cannot go on, or would overwrite another run's output."""


class MissingExtraError(AstraError, ImportError):
    """A feature needs packages of an extra that is not installed; the message says which."""
