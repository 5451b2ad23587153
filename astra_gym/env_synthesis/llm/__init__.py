"""Decompositions and tools from a language model: stages from one topic to one `ToolEnvSpec`, each failing closed."""
