"""The robot's side of shallop: ``shallopd`` puts what the cloud ordered on the disk, and says what became of it.

Data takes one way. ``link`` hears an order and puts it into the ``inbox``; ``agent`` hands it to ``worker``, which asks
``shallop_protocol.device`` what to do, makes it durable in ``store`` and lets ``applier`` do it on ``files``. What came
of it goes back as a report through ``agent`` and ``link``. ``enrol`` makes the device known to a cloud, once.
"""

import importlib.metadata

__version__ = importlib.metadata.version("shallop-device")
