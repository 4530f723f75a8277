"""Where alice logs in: an OpenID provider in miniature, with one RSA key and no server. Yours is a real one."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time

BITS = 2048
EXPONENT = 65537
# DER of a DigestInfo for SHA-256 (RFC 8017 section 9.2, note 1).
SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")


class Login:
    """Signs tokens with RS256 (RFC 7518 section 3.3)."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        while True:
            p, q = prime(BITS // 2), prime(BITS // 2)
            if p != q and (p - 1) * (q - 1) % EXPONENT:
                break
        self.modulus = p * q
        self.exponent = pow(EXPONENT, -1, (p - 1) * (q - 1))

    def keys(self) -> str:
        """The key set that a provider publishes."""
        size = BITS // 8
        key = {"kty": "RSA", "kid": "login-1", "use": "sig", "alg": "RS256"}
        key |= {"n": encoded(self.modulus.to_bytes(size, "big")), "e": encoded(EXPONENT.to_bytes(3, "big"))}
        return json.dumps({"keys": [key]})

    def token(self, subject: str, audience: str, scope: str) -> str:
        """A token of somebody who has just logged in, for five minutes."""
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": subject, "aud": audience, "scope": scope, "sub_profile": "user"}
        claims |= {"iat": now, "exp": now + 300, "jti": secrets.token_hex(16)}
        header = {"alg": "RS256", "kid": "login-1", "typ": "JWT"}
        signed = ".".join(encoded(json.dumps(part).encode()) for part in (header, claims))
        digest = SHA256 + hashlib.sha256(signed.encode()).digest()
        padded = b"\x00\x01".ljust(BITS // 8 - len(digest) - 1, b"\xff") + b"\x00" + digest
        signature = pow(int.from_bytes(padded, "big"), self.exponent, self.modulus)
        return f"{signed}.{encoded(signature.to_bytes(BITS // 8, 'big'))}"


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def prime(bits: int) -> int:
    """A random prime whose two highest bits are set, so that the product of two has twice as many."""
    while True:
        candidate = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if all(candidate % small for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)) and is_prime(candidate):
            return candidate


def is_prime(candidate: int) -> bool:
    """The test of Miller and Rabin, forty times."""
    odd, twos = candidate - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(40):
        power = pow(secrets.randbelow(candidate - 3) + 2, odd, candidate)
        if power in (1, candidate - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % candidate
            if power == candidate - 1:
                break
        else:
            return False
    return True
