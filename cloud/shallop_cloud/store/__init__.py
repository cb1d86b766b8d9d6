"""The cloud's memory: tables, transactions, and all SQL, in one module for each kind of thing.

A write takes one way: load what is recorded as a value of ``shallop_protocol.cloud``, let the protocol decide, and
``devices.save`` the difference together with its history rows in the same transaction.
"""
