"""``python -m jobworker_cli`` is ``jobworker-cli``."""

from __future__ import annotations

from jobworker_cli.main import main

if __name__ == "__main__":
    main()
