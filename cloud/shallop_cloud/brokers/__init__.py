"""What brokers are told: who may do what, within which limits; one module for each kind of broker."""
