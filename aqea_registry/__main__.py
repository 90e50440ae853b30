"""The program, as `python -m aqea_registry` and the installed script start it."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it in a line with 130 while it still loads, too: no handler is there yet."""
    try:
        from aqea_registry.cli import main as program

        program()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
