"""Patterns whose search could run for ever are refused; those that tools use are not."""

from __future__ import annotations

import re

import pytest

from astra_gym.sandbox.regex_risk import RiskyPatternError, longest_subject, regex_risk


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(a*)*b",
        r"(a|a)*b",
        r"(a|ab|b|ba)*c",
        r"(\w+\s?)*$x",
        r"((a{0,50}){0,50}){0,50}b",
        "a?" * 40 + "a" * 40,
        r"(.*)(?:\1)*b",
        r"(?=(a+)+b)a",
        r"([a-f]*[A-C]*)*z",
        r"(x+x+)+y",
        r"(?:.*a){20}",
        r"(a+)?(?(1)(a+)+|b)c",
    ],
)
def test_exponential_patterns_are_refused(pattern: str) -> None:
    assert regex_risk(pattern) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{4}-\d{2}-\d{2}$",
        r"^[A-Z]{3}$",
        r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$",
        r"^\d{1,3}(,\d{3})*(\.\d+)?$",
        r"\b(foo|bar)\b",
        r"(?P<key>\w+)\s*=\s*(?P<value>[^;]*);",
        r"^(https?)://([^/:]+)(:\d+)?(/.*)?$",
        r"([a-z]+-)*[a-z]+",
        r"(?:\d+,)*\d+",
        r"^(?:[A-Z][a-z]+ )+",
        r"\s+",
        r"(\d+)\s*(km|mi|m)",
        r"<[^>]+>",
        r"(?i)^[a-f0-9]{8}(-[a-f0-9]{4}){3}-[a-f0-9]{12}$",
        r"^\+?[0-9 ()-]{7,20}$",
        r"",
    ],
)
def test_patterns_of_everyday_tools_pass(pattern: str) -> None:
    assert regex_risk(pattern) is None
    assert re.compile(pattern)
    longest = longest_subject(pattern)
    assert longest is None or longest >= 100


def test_overlapping_repeats_shorten_the_text_that_is_allowed() -> None:
    lengths = [longest_subject(".*" * count + "=") for count in (1, 2, 3)]
    assert 10_000 > (lengths[0] or 0) > (lengths[1] or 0) > (lengths[2] or 0) > 0


def test_a_simple_run_may_be_of_any_length() -> None:
    assert longest_subject(r"\d+") is None
    assert longest_subject("abc") is None


def test_what_is_no_pattern_says_so() -> None:
    assert regex_risk("(") == "not a regular expression: missing ), unterminated subpattern at position 0"
    with pytest.raises(RiskyPatternError, match="longer than"):
        longest_subject("a" * 2000)
