"""The program, as `python -m aqea_registry` and the installed script start it."""

import os
import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it in a line with 130 while it still loads, too: no handler is there yet."""
    streams = (sys.stdin, sys.stdout, sys.stderr)  # None where who started the program closed it
    sys.stdin, sys.stdout, sys.stderr = (stream or open(os.devnull, "r+") for stream in streams)  # noqa: SIM115
    try:
        from aqea_registry.cli import main as program

        program()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
    except OSError as error:  # of an answer: what stops the work has its own line, and of a reader that stops click knows
        sys.stderr.write(f"error: the answer cannot be written: {error.strerror}\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
