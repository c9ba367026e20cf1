"""A certificate authority, and certificates for a server and a client."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.brokers.redis.support.servers import MissingProgram

#: Extensions that strict verification requires.
AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
SERVER = ["subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth,clientAuth"]
CLIENT = ["extendedKeyUsage=clientAuth"]


class Certificates:
    """Paths of PEM files in `folder`: `ca` for everyone, `cert` and `key` for a client, two for the server.

    `authority`: the extensions of the authority."""

    def __init__(self, folder: Path, authority: list[str] = AUTHORITY) -> None:
        self._openssl = shutil.which("openssl")
        if self._openssl is None:
            raise MissingProgram("openssl is not installed: apt-get install openssl")
        folder.mkdir(parents=True, exist_ok=True)
        self._ca_key = folder / "ca.key"
        self.ca, self.cert, self.server_cert = (folder / f"{name}.crt" for name in ("ca", "client", "server"))
        self.key, self.server_key = folder / "client.key", folder / "server.key"
        self._issue("asynqio test authority", self.ca, self._ca_key, authority)
        signed = ["-CA", str(self.ca), "-CAkey", str(self._ca_key)]
        self._issue("localhost", self.server_cert, self.server_key, SERVER, *signed)
        self._issue("client", self.cert, self.key, CLIENT, *signed)

    def _issue(self, name: str, cert: Path, key: Path, extensions: list[str], *signed: str) -> None:
        command = [str(self._openssl), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-nodes", "-days", "2", "-subj", f"/CN={name}", "-out", str(cert), "-keyout", str(key)]
        for extension in extensions:
            command += ["-addext", extension]
        made = subprocess.run([*command, *signed], capture_output=True, text=True)
        if made.returncode != 0:
            raise AssertionError(f"openssl does not make a certificate:\n{made.stderr}")
