"""Generation: tokens in, tokens and exact log-probabilities out, for many episodes at once on one transformers model.

`engine.py` is what verl's rollout server and `hf:DIR` evaluation stand on; `hf_model.py` makes a `ChatModel` of it.
Importing this package pulls in no torch: import from the modules.
"""
