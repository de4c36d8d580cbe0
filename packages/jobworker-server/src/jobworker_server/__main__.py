"""``python -m jobworker_server`` is ``jobworker-server``."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command. Ctrl-C ends it without a traceback also while it is loaded, which takes a moment."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jobworker_server.cli import main as run

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
