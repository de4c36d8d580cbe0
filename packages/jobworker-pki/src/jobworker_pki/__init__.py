"""Issues the certificates of jobworker: an authority's, a server's, and clients' with their roles.

The command ``jobworker-pki`` is the interface; the modules are its parts.
"""

__version__ = "0.1.0"
