"""age files for a passphrase whose work factor is low: `age -p` knows 18 alone, a second and 256 MiB each time."""
import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CHUNK = 65536


def unpadded(data):
    return base64.b64encode(data).rstrip(b"=")


def hkdf(key, salt, info):
    """One block of HKDF-SHA256."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def encrypt(data, passphrase, work_factor=4):
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapping = hashlib.scrypt(passphrase, salt=b"age-encryption.org/v1/scrypt" + salt, n=1 << work_factor, r=8, p=1, dklen=32)
    wrapped = ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)
    head = b"age-encryption.org/v1\n-> scrypt %s %d\n%s\n---" % (unpadded(salt), work_factor, unpadded(wrapped))
    mac = hmac.digest(hkdf(file_key, b"", b"header"), head, "sha256")
    payload = ChaCha20Poly1305(hkdf(file_key, nonce, b"payload"))
    starts = range(0, max(len(data), 1), CHUNK)
    chunks = [payload.encrypt(number.to_bytes(11, "big") + bytes([at == starts[-1]]), data[at:at + CHUNK], None)
              for number, at in enumerate(starts)]
    return b"".join([head, b" ", unpadded(mac), b"\n", nonce, *chunks])
