"""``python -m jobworker_cli`` is ``jobworker-cli``."""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command. Ctrl-C while it is loaded, which takes a moment, ends it without a traceback."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from jobworker_cli.main import main as run

    signal.signal(signal.SIGINT, on_interrupt)
    run()


if __name__ == "__main__":
    main()
