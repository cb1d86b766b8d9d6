"""A fleet on one machine: broker, cloud and robots as processes under one supervisor, with faults on demand.

``bench`` puts it together and takes it apart. ``processes`` has its programs, ``ashore`` its broker and cloud,
``agents`` and ``crowd`` its two kinds of robots, ``api`` what it asks of the cloud. From another process it is found
through ``directories`` and asked through ``asking`` and ``control``. ``recording`` keeps what crosses a broker.
"""
