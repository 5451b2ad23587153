"""What a model's last message gives as its answer: the conventions, and nothing looser than them.

Only the last `TAIL_CHARS` characters are read, and what stands before a `</think>` is not. The first of these that the
text has decides; the later ones are then not looked at, so a second guess elsewhere earns nothing:

1. the last `\\boxed{X}`;
2. the last `<answer>X</answer>`;
3. the last "answer is X", "answer: X", "答案是X" or `#### X`, X being the rest of the line (or the next line).

Without one, the candidates are the whole text, its last line, the last `**X**` on that line, and what follows the last
"is", "was", "are", "were" or ":" of the last sentence, unless that denies something. A candidate has to *be* the
answer; standing within it is not enough. Typed values (numbers, dates, yes/no) may also stand among other words: of a
marked answer the first one counts; of another text the last `**X**` that holds one decides, else the last value. Where
the marked line or the last sentence has a "=", the first value after its last "=" counts.
"""

from __future__ import annotations

import re

from astra_gym.values.matching import TRUE_WORDS
from astra_gym.values.texts import fold

TAIL_CHARS = 4_096
_MARKER = re.compile(
    r"\banswer[*_]*\s?(?:is|are|was|[:=])[*_:]*|答案(?:是|为|[:：])[:：]?|(?:^|\n)####(?!#)", re.IGNORECASE
)
_LATEX_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boldsymbol|mbox|operatorname)\s?\{([^{}]*)\}")
_LATEX_FRACTION = re.compile(r"\\d?frac\{(-?[0-9]+)\}\{([0-9]+)\}")
_LATEX_MATH = re.compile(r"\$(?=\S)([^$\n]{1,80})(?<=\S)\$(?!\w)|\\[(\[](.{1,200}?)\\[)\]]")
_LATEX_ESCAPES: tuple[tuple[str, str], ...] = (
    ("\\$", "$"),
    ("\\%", "%"),
    ("\\#", "#"),
    ("\\&", "&"),
    ("{,}", ","),
    ("\\,", " "),
    ("\\!", ""),
)
_LATEX_ESCAPES += (("\\;", " "), ("\\ ", " "), ("~", " "), ("^\\circ", "°"), ("\\times", "×"), ("\\cdot", "·"))
_BOLD = re.compile(r"\*\*([^*\n]{1,400})\*\*")
_LIST_NUMBER = re.compile(r"[0-9]{1,3}[.):]\s?")
_COPULA = re.compile(r"\b(?:is|was|are|were)\b:?|:(?=\s)|：|是", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:not|never|cannot|neither|nor)\b|n['’]t\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?:(?<=[^\W\d_]{3})|(?<=[0-9)\]\"'”*]))[.!?](?:\s+|$)|[。！？]")
_ASIDE = re.compile(
    r"\s*(?:\(|;|\s[-–—]\s|—|,\s*(?:as|which|who|where|when|with|not)\b|,?\s(?:because|since|based\son|according\sto)\b)",
    re.IGNORECASE,
)
_OPENING_BOOL = re.compile(r"yes\b|是|(?:no|true|false|否)(?=[\s*_]*(?:[,.;:!，。！]|\Z))", re.IGNORECASE)
_CLOSING_BOOL = re.compile(r"\b(?:yes|no|true|false)\Z|[是否]\Z", re.IGNORECASE)
_EDGE = " \t\r\n*_`\"'“”‘’"
_LAST_STOP = ".!。！"
_UNSPACED = re.compile("[\u1100-\u11ff\u2e80-\u9fff]")
_FENCE = re.compile(r"```[a-z]*\n(.*?)```", re.DOTALL)
_BULLET_LINE = re.compile(r"\s*(?:[-*•]|[0-9]{1,3}[.)])\s+\S")


def tail_of(text: str) -> str:
    """The part of a final message that is read."""
    return text[-TAIL_CHARS:].rpartition("</think>")[2]


def marked_answer(tail: str) -> str | None:
    """All that follows the mark of the strongest convention the text has, or None when it has none.

    For a boxed or tagged answer that is X; for the others it is the rest of the text, of which X is the first line.
    """
    boxed = _boxed(tail)
    if boxed is not None:
        return boxed
    start = tail.rfind("<answer>")
    if start >= 0:
        return tail[start + len("<answer>") :].partition("</answer>")[0]
    marks = list(_MARKER.finditer(tail))
    return tail[marks[-1].end() :].strip(_EDGE + ":：") if marks else None


def first_line(marked: str) -> str:
    """X of a marked answer: its first line, cleaned."""
    return clean(marked.strip().partition("\n")[0])


def marked_candidates(marked: str) -> list[str]:
    """A marked answer whole, its first sentence, and that without an aside ("..., because", "(...)")."""
    sentence = _SENTENCE_END.split(marked, maxsplit=1)[0]
    return [marked, clean(sentence), clean(_ASIDE.split(sentence, maxsplit=1)[0])]


def unmarked_candidates(tail: str) -> list[str]:
    """Parts of an unmarked text that may be the answer (see the module)."""
    line = last_line(tail)
    sentence = _ASIDE.split(last_sentence(line), maxsplit=1)[0]
    found = [clean(tail), clean(line), *bold_spans(line)[-1:]]
    copulas = list(_COPULA.finditer(sentence))
    if copulas and not denies(sentence):
        found.append(clean(sentence[copulas[-1].end() :]))
    return found


def last_sentence(line: str) -> str:
    """The last sentence of a line, without its full stop."""
    return next((part for part in reversed(_SENTENCE_END.split(line)) if part.strip(_EDGE)), "")


def denies(sentence: str) -> bool:
    """Whether a sentence holds a negation, so that a name in it may be what the answer is not."""
    return bool(_NEGATION.search(sentence))


def bold_spans(tail: str) -> list[str]:
    """What stands between `**` and `**`, in order; not the numbers of a list (`**1.**`)."""
    return [clean(found[1]) for found in _BOLD.finditer(tail) if not _LIST_NUMBER.fullmatch(found[1])]


def last_line(tail: str) -> str:
    """The last line that is not blank."""
    return next((line for line in reversed(tail.splitlines()) if line.strip()), "")


def scan_bools(text: str) -> list[bool]:
    """What a text says, yes or no: the word that opens its last line, else that opens it, else that ends it.

    At the start, "no", "true" and "false" count only before a stop: "no tool found it" answers nothing.
    """
    for part in (last_line(text), text):
        if found := _OPENING_BOOL.match(part.strip(_EDGE)):
            return [fold(found[0]) in TRUE_WORDS]
    closing = _CLOSING_BOOL.search(text.rstrip(_EDGE + _LAST_STOP))
    return [fold(closing[0]) in TRUE_WORDS] if closing else []


def listed_candidates(tail: str) -> list[str]:
    """Parts of a text that may be a list or JSON: all of it, its first or last line, what follows a ":" on the last,
    the last fenced block, the last bullets, a bracket on the last line."""
    line = last_line(tail).strip()
    found = [tail.strip(), clean(tail), first_line(tail), clean(line), clean(line.rpartition(":")[2])]
    found += [fence[1].strip() for fence in list(_FENCE.finditer(tail))[-1:]]
    lines = tail.rstrip().splitlines()
    bullets = len(lines)
    while bullets and _BULLET_LINE.match(lines[bullets - 1]):
        bullets -= 1
    found.append("\n".join(lines[bullets:]))
    starts = [index for bracket in "[{" if (index := line.find(bracket)) >= 0]
    if starts:
        found.append(line[min(starts) : max(line.rfind("]"), line.rfind("}")) + 1])
    return found


def clean(text: str) -> str:
    """`text` without Markdown and LaTeX around the value and without its last full stop."""
    text = text.strip(_EDGE)
    if "\\" in text or "$" in text:
        text = _LATEX_FRACTION.sub(r"\1/\2", _LATEX_WRAPPER.sub(r"\1", text))
        text = _LATEX_MATH.sub(lambda found: found[1] or found[2], text)
        for code, meant in _LATEX_ESCAPES:
            text = text.replace(code, meant)
    stripped = text.strip(_EDGE).rstrip(_LAST_STOP).strip(_EDGE)
    return stripped or text.strip()


def _boxed(tail: str) -> str | None:
    start = tail.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 1, start + len("\\boxed{")
    for index in range(begin, len(tail)):
        depth += {"{": 1, "}": -1}.get(tail[index], 0)
        if depth == 0:
            return tail[begin:index]
    return None


def named_once(span: str, choices: list[str]) -> str | None:
    """The only one of the folded `choices` that stands in `span` as whole words; None when there are several or none.

    A choice that stands within a longer one is not counted there.
    """
    rest, named = fold(span), []
    for choice in sorted(choices, key=len, reverse=True):
        edge = "" if _UNSPACED.search(choice) else r"\b" if choice[0].isalnum() and choice[-1].isalnum() else ""
        rest, count = re.subn(edge + re.escape(choice) + edge, " | ", rest)
        if count:
            named.append(choice)
    return named[0] if len(named) == 1 else None
