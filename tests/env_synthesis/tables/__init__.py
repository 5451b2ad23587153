"""The tables door."""
