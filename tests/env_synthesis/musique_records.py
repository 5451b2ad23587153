"""Small MuSiQue-like records, made up for the tests: each key says what the record is for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Record = dict[str, Any]


def record(
    name: str,
    question: str,
    hops: Sequence[tuple[str, str]],
    *,
    answer: str | None = None,
    titles: Sequence[str] = (),
    aliases: Sequence[str] = (),
    **more: Any,
) -> Record:
    """A record whose hop i is supported by the article `titles[i]`."""
    return {
        "id": name,
        "paragraphs": [
            {"idx": i, "title": title, "paragraph_text": f"{title}.", "is_supporting": True}
            for i, title in enumerate(titles)
        ],
        "question": question,
        "question_decomposition": [
            {"id": i, "question": text, "answer": said, "paragraph_support_idx": i if i < len(titles) else None}
            for i, (text, said) in enumerate(hops)
        ],
        "answer": hops[-1][1] if answer is None else answer,
        "answer_aliases": list(aliases),
        "answerable": True,
        **more,
    }


GOOD = [
    record(
        "chain-of-relations",
        "Who is the spouse of the performer of Lantern Street?",
        [("Lantern Street >> performer", "Odile Marchetti"), ("#1 >> spouse", "Tomas Reyk")],
    ),
    record(
        "another-performer",
        "Where was the performer of Salt Harbour born?",
        [("Salt Harbour >> performer", "Ingo Valdr"), ("#1 >> place of birth", "Husavik")],
    ),
    record(
        "relation-then-words",
        "When was the birthplace of the performer of Tin Orchard founded?",
        [
            ("Tin Orchard >> performer", "Mirela Costin"),
            ("#1 >> place of birth", "Brassford"),
            ("When was #2 founded?", "1871"),
        ],
        aliases=["1871 AD"],
    ),
    record(
        "words-with-a-title",
        "When was the town where the Quarry Museum stands founded?",
        [("In which town does the Quarry Museum stand?", "Ostleigh"), ("When was #1 founded?", "3 May 1902")],
        titles=["Quarry Museum", "Ostleigh"],
    ),
    record(
        "words-with-a-quoted-name",
        'How many people live in the county where "the Glass Mill" was shot?',
        [('Where was "the Glass Mill" shot?', "Norrow County"), ("How many people live in #1?", "48,210")],
    ),
    record(
        "two-references-in-one-hop",
        "How far is the birthplace of Ada Lindqvist from the capital of Veldmark?",
        [
            ("Ada Lindqvist >> place of birth", "Sandvik"),
            ("Veldmark >> capital", "Gravenholt"),
            ("How many kilometres is #1 from #2?", "212"),
        ],
    ),
    record(
        "a-join-in-four-hops",
        "Which river joins the river of the city where Pell Anders was born and that of the capital of Veldmark?",
        [
            ("Pell Anders >> place of birth", "Torrenfeld"),
            ("Veldmark >> capital", "Gravenholt"),
            ("Which river flows through #1?", "Aune"),
            ("Which river takes up the #3 above #2?", "Great Skarn"),
        ],
    ),
    record(
        "same-relation-twice",
        "Who is the mother of the mother of Runa Falk?",
        [("Runa Falk >> mother", "Signe Falk"), ("#1 >> mother", "Embla Storm")],
    ),
    record(
        "an-alias-is-the-answer",
        "Which country holds the harbour town of the ferry Winter Gull?",
        [("Winter Gull >> home port", "Kestrel Bay"), ("#1 >> country", "Republic of Ardenia")],
        answer="Ardenia",
        aliases=["Republic of Ardenia"],
    ),
]

BAD = {
    "a reference to a later hop": record(
        "x", "Who founded the maker of Corvo?", [("#2 >> founded by", "Lea Brandt"), ("Corvo >> maker", "Brandt & Co")]
    ),
    "a hop that nothing uses": record(
        "x", "Who wrote Blue Tide?", [("Veldmark >> capital", "Gravenholt"), ("Blue Tide >> author", "Jon Ekko")]
    ),
    "a name that the question does not have": record(
        "x", "Who wrote the famous novel?", [("Blue Tide >> author", "Jon Ekko")]
    ),
    "an answer that is not the last hop's": record(
        "x", "Who wrote Blue Tide?", [("Blue Tide >> author", "Jon Ekko")], answer="Mia Ekko"
    ),
    "an unanswerable record": record(
        "x", "Who wrote Blue Tide?", [("Blue Tide >> author", "Jon Ekko")], answerable=False
    ),
    "no decomposition": {"id": "x", "question": "Who wrote Blue Tide?", "answer": "Jon Ekko"},
    "a hop without an answer": {
        "id": "x",
        "question": "Who wrote Blue Tide?",
        "answer": "Jon Ekko",
        "question_decomposition": [{"id": 0, "question": "Blue Tide >> author"}],
    },
    "no name to look up by": record("x", "Who is the oldest?", [("who is the oldest of them all?", "Jon Ekko")]),
}

LEAKS = record(
    "x",
    "Is the author of Blue Tide by Jon Ekko married?",
    [("Blue Tide >> author", "Jon Ekko"), ("#1 >> spouse", "Mia Roth")],
)
