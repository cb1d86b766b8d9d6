"""The bench: a broker in one process, real agents as processes, the demo. Comes with the extra ``[bench]``."""
