"""The one connection to the broker: orders go out by comparing what is desired with what was published; what devices
say comes in by batches.
"""
