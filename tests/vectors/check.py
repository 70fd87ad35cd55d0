#!/usr/bin/env python3
"""Checks the vectors beside this file without any of our own code.

    pip install cryptography && python3 tests/vectors/check.py

Derivations, AES-GCM, Ed25519 and HPKE (RFC 9180, written out below) are done from docs/reference/protocol.md
alone, so that an error common to the library and its own tests shows here.
"""

import base64
import hashlib
import hmac
import json
import math
import pathlib
import urllib.parse

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = pathlib.Path(__file__).parent
PREFIX = b"graceful-relay/1 "


def domain(name):
    return PREFIX + name.encode() + b"\0"


def vectors(file):
    for vector in json.loads((HERE / file).read_text()):
        yield vector["name"], Fields(vector["inputs"]), Fields(vector["outputs"])


class Fields(dict):
    """Hex becomes bytes, text and numbers stay."""

    def __getattr__(self, name):
        value = self[name]
        if isinstance(value, list):
            return [bytes.fromhex(item) for item in value]
        return bytes.fromhex(value) if isinstance(value, str) and not name.endswith("_text") else value


def same(name, found, expected):
    global compared
    compared += 1
    assert found == expected, f"{name}: {found!r} is not {expected!r}"


compared = 0


# ------------------------------------------------------------------ primitives


def extract(salt, ikm):
    return hmac.new(salt or bytes(32), ikm, hashlib.sha256).digest()


def expand(prk, info, length):
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([counter]), hashlib.sha256).digest()
        out, counter = out + block, counter + 1
    return out[:length]


def hkdf(secret, salt, info, length):
    return expand(extract(salt, secret), info, length)


def encrypt(material, plain, associated):
    return AESGCM(material[:32]).encrypt(material[32:], plain, associated)


def padme(n):
    if n < 2:
        return n
    e = n.bit_length() - 1
    m = (e.bit_length() - 1) + 1
    unit = 1 << max(e - m, 0)
    return math.ceil(n / unit) * unit


def padded(n):
    s = padme(n)
    if s & (s - 1):
        return s
    if s > 1024 and n <= s - 512:
        return s - 512
    return padme(s + 1)


# ------------------------------------------------------------------ HPKE

KEM = b"KEM" + (0x0020).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0002))


def labeled_extract(suite, salt, label, ikm):
    return extract(salt, b"HPKE-v1" + suite + label + ikm)


def labeled_expand(suite, prk, label, info, length):
    return expand(prk, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def hpke_seal(recipient, ikm, info, associated, plain, psk=b"", psk_id=b""):
    ephemeral = labeled_expand(KEM, labeled_extract(KEM, b"", b"dkp_prk", ikm), b"sk", b"", 32)
    enc = public(ephemeral)
    shared = X25519PrivateKey.from_private_bytes(ephemeral).exchange(X25519PublicKey.from_public_bytes(recipient))
    return enc + hpke_cipher(shared, enc, recipient, info, psk, psk_id, "encrypt", plain, associated)


def hpke_open(private, info, associated, sealed, psk=b"", psk_id=b""):
    enc, sealed = sealed[:32], sealed[32:]
    shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(enc))
    return hpke_cipher(shared, enc, public(private), info, psk, psk_id, "decrypt", sealed, associated)


def hpke_cipher(shared, enc, recipient, info, psk, psk_id, verb, data, associated):
    prk = labeled_extract(KEM, b"", b"eae_prk", shared)
    secret = labeled_expand(KEM, prk, b"shared_secret", enc + recipient, 32)
    mode = b"\1" if psk else b"\0"
    context = mode + labeled_extract(SUITE, b"", b"psk_id_hash", psk_id)
    context += labeled_extract(SUITE, b"", b"info_hash", info)
    secret = labeled_extract(SUITE, secret, b"secret", psk)
    key = labeled_expand(SUITE, secret, b"key", context, 32)
    nonce = labeled_expand(SUITE, secret, b"base_nonce", context, 12)
    return getattr(AESGCM(key), verb)(nonce, data, associated)


# ------------------------------------------------------------------ the vectors


def check_padding():
    for name, given, gives in vectors("padding.json"):
        same(name, padded(given.length), gives.padded)


def check_chain():
    before = bytes(32)
    for name, given, gives in vectors("chain.json"):
        same(name, given.before, before)
        sealed = hashlib.sha256(given.sealed).digest()
        data = domain("chain") + before + given.seq.to_bytes(8, "big") + given.sender + sealed
        before = hashlib.sha256(data).digest()
        same(name, before, gives.chain)


def check_challenge():
    for name, given, gives in vectors("challenge.json"):
        key = Ed25519PrivateKey.from_private_bytes(given.device_seed)
        device = key.public_key().public_bytes_raw()
        same(name, device, gives.device)
        message = domain("authenticate") + given.nonce + given.store_epoch + given.account + device
        message += given.host_text.encode()
        same(name, message, gives.message)
        same(name, key.sign(message), gives.signature)


def check_membership():
    previous = b""
    for name, given, gives in vectors("membership.json"):
        same(name, given.previous, previous)
        key = Ed25519PrivateKey.from_private_bytes(given.author_seed)
        same(name, key.sign(domain("membership") + given.body), gives.signature)
        data = domain("entry") + len(given.body).to_bytes(8, "big") + given.body + gives.signature
        previous = hashlib.sha256(data).digest()
        same(name, previous, gives.hash)
        if given.index == 0:
            same(name, previous, gives.account)


def check_wrapping():
    for name, given, gives in vectors("wrapping.json"):
        info = domain("epoch secret") + given.account + given.key_epoch.to_bytes(4, "big")
        sealed = hpke_seal(
            given.recipient_agreement_key, given.ephemeral_ikm, info, given.recipient, given.secret
        )
        same(name, sealed, gives.wrapped)
        opened = hpke_open(given.recipient_agreement_secret, info, given.recipient, gives.wrapped)
        same(name, opened, given.secret)


def check_sealing():
    for name, given, gives in vectors("sealing.json"):
        header_key = hkdf(given.secret, given.account, domain("header key"), 32)
        content_key = hkdf(given.secret, given.account, domain("content key"), 32)
        same(name, (header_key, content_key), (gives.header_key, gives.content_key))
        header_message = hkdf(header_key, given.salt, domain("header message"), 44)
        content_message = hkdf(content_key, given.salt, domain("content message"), 44)
        same(name, (header_message, content_message), (gives.header_message, gives.content_message))
        epoch = given.key_epoch.to_bytes(4, "big")
        associated = domain("envelope") + b"\1" + given.account + epoch + given.sender + given.recipient
        same(name, associated, gives.associated)
        header = (len(given.header).to_bytes(2, "big") + given.header).ljust(288, b"\0")
        same(name, header, gives.header_plain)
        sealed_header = encrypt(header_message, header, associated)
        same(name, sealed_header, gives.sealed_header)
        start = 1 + 4 + 32 + 288 + 16
        size = padded(start + 4 + len(given.content) + 16)
        content = (len(given.content).to_bytes(4, "big") + given.content).ljust(size - start - 16, b"\0")
        same(name, content, gives.content_plain)
        sealed_content = encrypt(content_message, content, associated + sealed_header)
        same(name, b"\1" + epoch + given.salt + sealed_header + sealed_content, gives.sealed)


def check_pairing():
    psk = None
    for name, given, gives in vectors("pairing.json"):
        if name == "link":
            text = lambda part: base64.urlsafe_b64encode(part).decode().rstrip("=")
            relay = urllib.parse.quote(given.relay_text, safe="")
            link = f"graceful-relay://pair?relay={relay}&id={text(given.id)}&secret={text(given.secret)}"
            same(name, link, gives.link_text)
        elif name == "request":
            material = hkdf(given.secret, given.salt, domain("pairing request"), 44)
            plain = (len(given.request).to_bytes(2, "big") + given.request).ljust(512, b"\0")
            same(name, given.salt + encrypt(material, plain, given.id), gives.sealed)
        elif name == "psk":
            psk = hkdf(given.secret, given.id, domain("pairing psk"), 32)
            same(name, psk, gives.psk)
        else:
            info = domain("account bundle")
            sealed = hpke_seal(
                given.recipient_agreement_key,
                given.ephemeral_ikm,
                info,
                given.recipient,
                given.bundle,
                psk,
                given.id,
            )
            same(name, sealed, gives.sealed)
            opened = hpke_open(given.recipient_agreement_secret, info, given.recipient, sealed, psk, given.id)
            same(name, opened, given.bundle)


def check_recovery():
    for name, given, gives in vectors("recovery.json"):
        if name == "recover":
            key = Ed25519PrivateKey.from_private_bytes(given.signing_seed)
            message = domain("recover") + given.nonce + given.store_epoch
            message += key.public_key().public_bytes_raw() + given.host_text.encode()
            same(name, message, gives.message)
            same(name, key.sign(message), gives.signature)
        elif name == "genesis":
            key = Ed25519PrivateKey.from_private_bytes(given.signing_seed)
            message = domain("recovery founding") + given.author + given.agreement_key
            message += key.public_key().public_bytes_raw() + given.recovery_agreement_key
            message += given.recovery_wrapped + given.salt
            same(name, message, gives.message)
            same(name, key.sign(message), gives.recovery_signature)
            genesis = next(iter(vectors("membership.json")))[1].body
            same(name, gives.recovery_signature in genesis, True)
        else:
            # The word list is not at hand here; which words of it is arithmetic.
            checksum = hashlib.sha256(given.entropy).digest()[0] >> 4
            bits = int.from_bytes(given.entropy, "big") << 4 | checksum
            same(name, [bits >> 11 * place & 0x7FF for place in range(11, -1, -1)], gives["places"])
            seed = hkdf(given.entropy, b"", domain("recovery signing key"), 32)
            secret = hkdf(given.entropy, b"", domain("recovery agreement key"), 32)
            same(name, (seed, secret), (gives.signing_seed, gives.agreement_secret))
            key = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
            same(name, (key, public(secret)), (gives.recovery_key, gives.recovery_agreement_key))


def check_exchange():
    for name, given, gives in vectors("frames.json"):
        if name == "exchange body":
            same(name, b"".join(varint(len(frame)) + frame for frame in given.frames), gives.body)


def varint(number):
    out = b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


check_padding()
check_chain()
check_challenge()
check_membership()
check_wrapping()
check_sealing()
check_pairing()
check_recovery()
check_exchange()
print(f"{compared} values agree")
