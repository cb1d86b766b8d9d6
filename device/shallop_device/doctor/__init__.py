"""``shallopd doctor``: looks at everything that a robot's agent needs, changes nothing that lasts, and says what to do.

``machine`` looks at this machine, ``robot`` at what was set up on it, ``shore`` at broker and cloud. It works while the
agent runs: then it leaves the broker to the agent, whose session it would otherwise take over.
"""

from shallop_device.doctor.examination import examine
from shallop_device.doctor.finding import Finding, Grade

__all__ = ["Finding", "Grade", "examine"]
