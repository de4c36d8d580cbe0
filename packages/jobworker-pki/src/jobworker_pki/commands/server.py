"""``jobworker-pki server``."""

from __future__ import annotations

from jobworker_pki import provisioning, report
from jobworker_pki.commands import options
from jobworker_pki.commands.options import Directory, Force, HostNames, KeyTypeOption
from jobworker_pki.key_types import KeyType


def server(
    directory: Directory = report.DEFAULT_DIRECTORY,
    san: HostNames = None,
    key_type: KeyTypeOption = KeyType.ECDSA_P256,
    passphrase_file: options.PassphraseFile = None,
    passphrase_fd: options.PassphraseDescriptor = None,
    force: Force = False,
) -> None:
    """Make a server certificate: server.pem and server.key.

    It is for localhost, 127.0.0.1, ::1, this host's name and each --san. Where there is no CA yet, it makes one.
    """
    passphrase = options.passphrase(passphrase_file, passphrase_fd)
    outcome = provisioning.issue_server(directory, san or (), replace=force, key_type=key_type, passphrase=passphrase)
    report.written(directory, outcome)
