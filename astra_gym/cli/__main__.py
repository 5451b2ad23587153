"""`python -m astra_gym.cli`: the command without its script."""

from astra_gym.cli import main

main()
