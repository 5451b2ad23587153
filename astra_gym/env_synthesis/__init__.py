"""Decompositions in, certified environments out: three doors (tables, imported records, an LLM) and one corridor."""
