"""What operators and devices can ask of the cloud. Each function is one act: it checks, decides through the
protocol, and commits before it returns; when it raises, nothing was changed.
"""
