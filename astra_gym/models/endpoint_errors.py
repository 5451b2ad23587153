"""What an OpenAI-compatible endpoint did wrong, in words that say what to do. Shared by every client of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import APIError

_SHOWN_CHARS = 200


def describe(error: APIError, model: str, timeout_s: float) -> str:
    """One failed request of the `openai` client, after its retries."""
    import openai

    if isinstance(error, openai.APITimeoutError):
        return f"no answer within {timeout_s:g} s; raise timeout_s, or look at the server"
    if isinstance(error, openai.APIConnectionError):
        return f"cannot connect ({error.__cause__ or error}); is the server running, and base_url right?"
    if isinstance(error, openai.APIStatusError):
        return _status(error.status_code, model, _said(error))
    return f"unusable reply: {error}"


def _status(code: int, model: str, said: str) -> str:
    hints = {
        400: "the request is refused",
        401: "the API key is refused; set OPENAI_API_KEY or api_key",
        403: "this API key may not use it",
        404: f"no model {model!r}, or no chat endpoint under base_url",
        429: "rate limit or quota reached, also after the retries",
    }
    hint = hints.get(code, "the server failed, also after the retries" if code >= 500 else "the request failed")
    return f"{hint} (HTTP {code}: {said})"


def _said(error: APIError) -> str:
    import openai

    message = error.body.get("message") if isinstance(error.body, dict) else None
    if isinstance(message, str):
        return cut(message)
    return cut(error.response.content if isinstance(error, openai.APIStatusError) else str(error))


def cut(content: str | bytes) -> str:
    """The head of what was sent, quoted."""
    text = content.decode(errors="replace") if isinstance(content, bytes) else content
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…")
