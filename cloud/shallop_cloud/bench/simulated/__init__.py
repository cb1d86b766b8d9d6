"""Simulated robots, thousands to a process: the protocol's own core, with a disk and a database in memory.

``roster`` says who they are, ``provision`` makes them known to a cloud, ``process`` starts them and tells them what is
to befall them. Inside that process, ``robot`` does what the agent does and ``hands`` what its worker does, both by the
decisions of ``shallop_protocol.device``; ``fleet`` keeps their connections up, ``line`` is one connection, and
``packets`` is the MQTT that it speaks.

What is not simulated: files, and the time that they take. What a robot remembers lives as long as the process.
"""

from shallop_cloud.bench.simulated.process import FleetError, FleetProcess
from shallop_cloud.bench.simulated.provision import provision
from shallop_cloud.bench.simulated.roster import Broker, Roster, Seat
from shallop_cloud.bench.simulated.views import RobotView, State

__all__ = ["Broker", "FleetError", "FleetProcess", "RobotView", "Roster", "Seat", "State", "provision"]
