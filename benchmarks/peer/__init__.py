"""The same job for shallop, etcd and NATS: change one file on every robot, and know of each that it has it.

The robots are thin and alike: many to a process, over one connection of it, each with a watch or subscription of its
own. On a change a robot writes the file so that it survives a power cut (``disk``), and says so. A module of each
system has its server, its robots and its operator.
"""
