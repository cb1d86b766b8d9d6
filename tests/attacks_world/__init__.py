"""A stage for attacks: the real cloud, a real broker and the real agent, and somebody who holds the broker.

Cloud and agent run in threads of the test's process; what is between them is sockets. The attacker hears all that goes
over the broker and may say anything on any topic, as whoever holds a broker can. What else one has is in each attack.
"""
