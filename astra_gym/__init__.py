"""ASTRA Gym: verifiable tool-use environments, played through `gymnasium.make`."""
