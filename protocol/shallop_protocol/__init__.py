"""What shallop says and decides, without a clock, a disk, a socket or a log.

``ids``, ``topics``, ``statuses``, ``paths`` and ``digests`` are the vocabulary. ``desired`` and ``messages`` are what
travels, ``dsse`` the envelope that makes an order trustworthy. ``cloud`` and ``device`` are the two decisions: what
an act or a report changes ashore, and what a device does next.
"""
