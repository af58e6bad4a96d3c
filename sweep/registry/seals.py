"""A digest inside the text that it protects: one flipped bit in a manifest or in a line of aliases is found.

A body is a JSON object. Sealed, it has one more key at its end, "sha256", with the digest of the body's bytes before.
Every byte counts: those of the body through the digest, those around it because they must be exactly these.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

_HEX = 64


@dataclass(frozen=True)
class Seal:
    """Where the digest is put.

    Attributes:
        closing: how a body ends.
        before: what takes the closing's place.
        after: what follows the digest.
    """

    closing: bytes
    before: bytes
    after: bytes

    def put(self, body: bytes) -> bytes:
        """The body with its digest in it."""
        digest = hashlib.sha256(body).hexdigest().encode()
        return body.removesuffix(self.closing) + self.before + digest + self.after

    def check(self, data: bytes) -> bytes:
        """The body of sealed data.

        Raises:
            ValueError: the data isn't what `put` made.
        """
        size = len(self.before) + _HEX + len(self.after)
        body = data[:-size] + self.closing
        if self.put(body) != data:
            raise ValueError("its own SHA-256 doesn't match, or its end is missing")
        return body


INDENTED = Seal(closing=b"\n}", before=b',\n  "sha256": "', after=b'"\n}\n')
LINE = Seal(closing=b"}", before=b',"sha256":"', after=b'"}')
