"""``python -m jobworker_server``."""

from __future__ import annotations

from jobworker_server.cli import main

if __name__ == "__main__":
    main()
