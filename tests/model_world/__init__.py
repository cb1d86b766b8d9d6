"""A small model world: one cloud core, one device core, a disk in memory, and a network that keeps no promises.

``state`` is a moment of it, ``events`` what can happen, ``moves`` what may happen next. ``rules``, and the modules of
the two sides, say what must hold at any time; ``agreement`` what must hold at rest. ``world`` is for walks and stories,
``search`` takes every way.
"""
