"""`shallop broker check` on every broker that this machine has, for the table in docs/brokers.md."""
