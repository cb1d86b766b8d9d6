"""A world in virtual time: the real decisions and the real agent, on a disk, a network and a broker that fail."""
