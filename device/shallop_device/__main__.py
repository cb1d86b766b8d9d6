"""``python -m shallop_device`` is ``shallopd``."""

from shallop_device import cli

if __name__ == "__main__":
    cli.main()
