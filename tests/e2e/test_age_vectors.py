"""
The published test vectors of age through the unpacker's own code for it: the verdict, and what it lets out before it.
Identities of the later, post-quantum kind are not read here and left out; armor is refused, whatever is in it.
"""
import hashlib
import subprocess

import age_vectors
import pytest
from harness import ROOT

SOURCES = ["tests/e2e/age_filter.c", "workers/stretcher/scrypt.c", *(f"workers/unpacker/{name}.c" for name in (
    "age", "age_header", "age_crypto", "age_identity", "failure", "looks_like"))]
VERDICTS = {"success": 0, "no match": 2, "HMAC failure": 5, "header failure": 5, "payload failure": 5, "armor failure": 5}
WORDS = {"HMAC failure": "MAC is wrong", "header failure": "age header"}


@pytest.fixture(scope="module")
def age_filter(tmp_path_factory):
    program = tmp_path_factory.mktemp("age") / "age_filter"
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-g", "-fsanitize=address,undefined", "-I.", "-Iinclude",
                    *SOURCES, "-lcrypto", "-o", program], cwd=ROOT, check=True)

    def run(vector, passphrase, piece, folder):
        identity = ""
        if vector.identities:
            identity = folder / "identity"
            identity.write_text("\n".join(vector.identities))
        done = subprocess.run([program, identity, passphrase, str(piece)], input=vector.file, capture_output=True, check=False)
        return done.returncode, done.stdout, done.stderr.decode()
    return run


@pytest.fixture(scope="module")
def vectors():
    found = age_vectors.load()
    assert len(found) >= 140
    return [vector for vector in found if not any(key.startswith("AGE-SECRET-KEY-PQ-") for key in vector.identities)]


def judge(vector, outcome):
    """None, or what is wrong with it."""
    code, payload, text = outcome
    if vector.armored:
        return None if code == 5 and not payload else f"armor is refused: {outcome}"
    if code != VERDICTS[vector.expect]:
        return f"{vector.expect}: {outcome}"
    if vector.payload and hashlib.sha256(payload).hexdigest() != vector.payload:
        return f"another payload: {text}"
    words = WORDS.get(vector.expect)
    return None if words is None or words in text or "no age file" in text else f"not said why: {text}"


@pytest.mark.parametrize("piece", [1000000, 4096])
def test_every_vector_gets_its_verdict(age_filter, vectors, tmp_path, piece):
    wrong = {}
    for vector in vectors:
        outcomes = [age_filter(vector, passphrase, piece, tmp_path) for passphrase in vector.passphrases or [""]]
        outcome = min(outcomes, key=lambda outcome: outcome[0])
        fault = judge(vector, outcome)
        if fault:
            wrong[vector.name] = fault
    print(len(vectors), "vectors")
    assert not wrong, wrong
