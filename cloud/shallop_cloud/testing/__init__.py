"""For tests. ``plugin`` gives pytest the fixture ``fleet``, which ``fleets`` describes: broker, cloud and robots as
processes. ``ashore`` is the cloud in the test's own process, without a broker.

Nothing is imported here: pytest loads the plugin in every run, also where nobody wants a fleet.
"""
