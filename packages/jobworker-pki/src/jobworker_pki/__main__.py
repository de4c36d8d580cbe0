"""``python -m jobworker_pki`` is ``jobworker-pki``."""

from jobworker_pki.cli import main

if __name__ == "__main__":
    main()
