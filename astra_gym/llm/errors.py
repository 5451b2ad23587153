"""What can go wrong with a language model behind an endpoint, so that a caller can tell what concerns one item.

`ReplyError`, `RefusedError` and `RequestError` are about one request: the item that made it is rejected. `BudgetError`
ends one item. `EndpointError` says nothing of the item: it stays unanswered, and a later run asks again;
`DeadEndpointError` ends the run.
"""

from __future__ import annotations

from astra_gym.errors import AstraError


class LlmError(AstraError, RuntimeError):
    """Root of what a request to a language model can end in."""


class ReplyError(LlmError):
    """The model answered, but never in the form that was asked for, re-asks included."""

    def __init__(self, message: str, *, excerpt: str) -> None:
        super().__init__(message)
        self.excerpt = excerpt
        """The head of its last reply."""

    def __reduce__(self) -> tuple[object, ...]:
        return _reply_error, (str(self), self.excerpt)


def _reply_error(message: str, excerpt: str) -> ReplyError:
    return ReplyError(message, excerpt=excerpt)


class RefusedError(LlmError):
    """The model declined to answer."""


class RequestError(LlmError):
    """The endpoint works but will not take this one request (too long, content filter: HTTP 400, 413, 422)."""


class BudgetError(LlmError):
    """The item has used up its calls, tokens, seconds or money."""


class EndpointError(LlmError):
    """No answer: endpoint down, slow, closing early, 401, 404, 429, 5xx, HTML or no choices, also after the retries."""


class DeadEndpointError(EndpointError):
    """The endpoint failed so often in a row that nothing more is asked of it."""
