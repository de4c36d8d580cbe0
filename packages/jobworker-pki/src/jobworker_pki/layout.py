"""The names of the files in a directory, and what each is for.

::

    ca.pem  ca.key                              who is trusted; what issues, or what the intermediate CA comes from
    intermediate.pem  intermediate.key          what issues instead, where there is an intermediate CA
    old-ca.pem  old-ca.key                      during a rotation: what is about to be dropped, and can still revoke;
                                                old-intermediate.pem and .key likewise
    crl.pem                                     what is revoked, a list for each CA
    ledger.jsonl                                what the CA has issued, revoked and rejected
    server.pem  server.key                      the server's
    NAME.pem  NAME.key                          a client's; NAME.csr its request
    token.key  token.pub                        what signs tokens, and what the server checks them with
"""

from __future__ import annotations

CA = "ca"
INTERMEDIATE = "intermediate"
OLD_CA = "old-ca"
OLD_INTERMEDIATE = "old-intermediate"
SERVER = "server"
TOKEN = "token"  # noqa: S105 - the stem of file names
CRL = "crl"
LEDGER = "ledger.jsonl"

RESERVED_STEMS = frozenset({CA, INTERMEDIATE, OLD_CA, OLD_INTERMEDIATE, SERVER, TOKEN, CRL})
"""What no client can be called, because these files are something else."""
