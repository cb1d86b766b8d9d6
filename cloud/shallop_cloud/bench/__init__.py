"""The bench: a broker in one process, simulated robots, demo and load. Comes with the extra ``[bench]``."""
