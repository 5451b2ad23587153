"""Language models behind OpenAI-compatible endpoints, asked for typed replies: prompts, retries, cache, budgets.

Nothing here knows what is asked; the stages in `astra_gym.env_synthesis.llm` do. Needs the extra `synth`.
"""
