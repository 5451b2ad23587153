"""JSON Pointers into outputs, and gold arguments filled from upstream outputs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from astra_gym.answers import Answer
from astra_gym.gold import fill_refs, resolve_call, resolve_pointer
from astra_gym.types import Decomposition, GoldCall, SubQuestion, ToolCall

ANY = settings(deadline=None, database=None)

# The example document and pointers of RFC 6901, section 5.
DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_the_pointers_of_the_standard_resolve(pointer, value):
    assert resolve_pointer(DOCUMENT, pointer) == value


@pytest.mark.parametrize(
    "pointer", ["foo", "/bar", "/foo/2", "/foo/-1", "/foo/-", "/foo/x", "/foo/0/0", "/foo/²", "//", "/foo/٣"]
)
def test_a_pointer_to_nothing_is_a_lookup_error(pointer):
    with pytest.raises(LookupError, match=r"nothing at|must be empty or start"):
        resolve_pointer(DOCUMENT, pointer)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


def pointers_of(value, above=""):
    yield above, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from pointers_of(item, f"{above}/{str(key).replace('~', '~0').replace('/', '~1')}")


@ANY
@given(JSON_VALUES)
def test_every_value_is_found_at_its_pointer(document):
    for pointer, value in pointers_of(document):
        assert resolve_pointer(document, pointer) is value


@ANY
@given(JSON_VALUES, st.text("/~01ab-", max_size=8))
def test_any_pointer_gives_a_value_or_a_lookup_error(document, pointer):
    try:
        found = resolve_pointer(document, pointer)
    except LookupError:
        return
    assert any(found is value for _, value in pointers_of(document))


def test_references_are_filled_wherever_they_stand():
    arguments = {
        "a": {"$ref": "q1"},
        "b": [{"$ref": "q2", "path": "/x"}, {"c": {"$ref": "q1", "path": ""}}],
        "d": "$ref",
    }
    filled = fill_refs(arguments, lambda ref, path: (ref, path))
    assert filled == {"a": ("q1", None), "b": [("q2", "/x"), {"c": ("q1", "")}], "d": "$ref"}
    assert arguments["a"] == {"$ref": "q1"}


def made(arguments):
    first = SubQuestion(
        id="q1", question="?", answer=Answer.parse("Oslo"), call=GoldCall(tool="capital"), result_path="/name"
    )
    call = GoldCall(tool="people", arguments=arguments)
    second = SubQuestion(id="q2", question="?", answer=Answer.parse(5), depends_on=("q1",), call=call)
    return Decomposition(id="d", question="?", answer=Answer.parse(5), sub_questions=(first, second)), call


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"$ref": "q1"}, "Oslo"),
        ({"$ref": "q1", "path": "/id"}, 7),
        ({"$ref": "q1", "path": ""}, {"name": "Oslo", "id": 7}),
    ],
)
def test_a_gold_call_takes_its_values_from_upstream_outputs(reference, value):
    decomposition, call = made({"city": reference, "year": 2020})
    resolved = resolve_call(decomposition, call, {"q1": {"name": "Oslo", "id": 7}})
    assert resolved == ToolCall("people", {"city": value, "year": 2020})


def test_a_gold_call_cannot_be_resolved_without_its_upstream_output():
    decomposition, call = made({"city": {"$ref": "q1"}})
    with pytest.raises(LookupError, match="no output of 'q1'"):
        resolve_call(decomposition, call, {})
    with pytest.raises(LookupError, match="nothing at 'name'"):
        resolve_call(decomposition, call, {"q1": {"other": 1}})
