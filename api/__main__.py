"""`passerelle`, also as `python -m api`."""

import gc


def main() -> None:
    """Import the commands, and run one.

    What an import makes stays: the collector would walk it while it grows, a fifth of the start.
    """
    gc.disable()
    from api import cli

    gc.enable()
    cli.main()


if __name__ == "__main__":
    main()
