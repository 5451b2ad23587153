"""The tables of the policy: which names, attributes, methods and statements tool source may use.

Everything that describes the policy to people (`describe.py`) is generated from here.
"""

from __future__ import annotations

import ast

from RestrictedPython.transformer import INSPECT_ATTRIBUTES

from astra_gym.sandbox.words import words

PRIVATE_PREFIX = "private"
"""`_x` in tool source becomes `private_x`: names that start with an underscore belong to the sandbox."""
NAMED_TUPLE_API = frozenset({"_asdict", "_replace", "_fields", "_make"})
MAGIC_METHODS = frozenset({"__init__", "__repr__", "__str__", "__post_init__"})
"""Magic methods that a class may define. Others run inside C code that does not expect them (comparison, hashing,
iteration, attribute look-up) and can corrupt the interpreter."""
UNAVAILABLE_NAMES = {
    "BaseException": "catch Exception",
    "BaseExceptionGroup": "catch Exception",
    "ExceptionGroup": "catch Exception",
    "SystemExit": "return a value or raise ValueError",
    "KeyboardInterrupt": "raise ValueError",
    "GeneratorExit": "raise ValueError",
    "exec": "write the code out",
    "eval": "use json.loads or write the expression out",
    "compile": "write the code out",
    "open": "tools have no files; put the data in a table",
    "input": "take an argument instead",
    "globals": "use a dict of your own",
    "locals": "use a dict of your own",
    "vars": "use a dict of your own",
    "dir": "name the attributes",
    "id": "compare with `is`",
    "hash": "use the value itself as a key, or hashlib",
    "memoryview": "use bytes",
    "bytearray": "use bytes or a list of int",
    "complex": "use two floats",
    "slice": "write the slice out: x[a:b]",
    "builtins": "use the builtin itself",
    "breakpoint": "remove it",
    "help": "remove it",
    "exit": "return a value",
    "quit": "return a value",
    "printed": "choose another name",
}
"""Names that tool source may not use, each with what would do instead."""
DENIED_ATTRIBUTES = frozenset(INSPECT_ATTRIBUTES) | frozenset(
    words(
        "mro format_map with_traceback add_note obj vformat get_field get_value Formatter gi_running "
        "gi_suspended gi_state cr_running cr_suspended cr_state ag_running ag_suspended tb_lasti tb_lineno "
        "f_lasti f_lineno f_trace_lines f_trace_opcodes func_globals func_code func_defaults func_closure "
        "co_consts co_names co_varnames co_filename co_freevars co_cellvars co_argcount co_flags co_lnotab "
        "co_positions setcontext"
    )
)
"""Attributes without a leading underscore that lead out of the sandbox or around its checks."""
ANNOTATION_MODULES = frozenset({"typing", "typing_extensions", "__future__", "abc"})
JUMPS = (ast.Return, ast.Break, ast.Continue)
FORBIDDEN_STATEMENTS: dict[type[ast.AST], str] = {
    ast.AsyncFunctionDef: "write an ordinary function",
    ast.AsyncFor: "write an ordinary loop",
    ast.AsyncWith: "write an ordinary with",
    ast.Await: "call the function directly",
    ast.TryStar: "use except instead of except*",
    ast.MatMult: "write the product out",
}
"""Syntax that is refused, each with what would do instead."""
TYPE_NAMES = frozenset({"str", "list", "tuple", "set", "frozenset", "dict", "bytes", "int", "float", "bool"})
FLAT_CALLS = frozenset({"range", "enumerate", "zip", "map", "filter", "reversed", "sorted", "list", "tuple"})
"""Builtins whose result a loop may walk without asking whether it is a set."""
FLAT_METHODS = frozenset({"items", "values", "split", "splitlines", "keys"})
NATIVE_AUGMENTED = (ast.Div, ast.FloorDiv, ast.RShift)
METERED_SIZE = 256
"""AST nodes that one unit of fuel pays for in the body of a loop or function."""
GENERATOR_START = 32
"""Fuel of starting a generator: suspended ones that hold each other end on the C stack, so they must be few."""
DISPLAY_SIZE = 32
"""Elements of a list, tuple, set or dict display that come with the fuel of the statement."""
CONSTANT_SIZE = 64
"""Characters of a text constant that `+` adds without a check."""
