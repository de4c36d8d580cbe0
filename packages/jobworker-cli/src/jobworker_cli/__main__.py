"""``python -m jobworker_cli`` is ``jobworker-cli``."""

from __future__ import annotations

import atexit
import gc
import signal
import sys

# Most of what a short command makes lives to its end, but 700 new objects have Python look for garbage.
_OBJECTS_BEFORE_COLLECTION = 50_000


def main() -> None:
    """Run the command. Ctrl-C ends it without a traceback also while it is loaded, which takes a moment."""
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)
    atexit.register(gc.freeze)  # nor does it look through all modules once more at the end
    from jobworker_cli.main import main as run

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
