"""age's published test vectors: fetched once into build/, read from the package that their authors make of them."""
import base64
import re
import subprocess
import zlib
from dataclasses import dataclass, field

from harness import ROOT

FOLDER = ROOT / "build/corpora/age"


@dataclass
class Vector:
    name: str
    expect: str = ""
    payload: str = ""
    armored: bool = False
    identities: list = field(default_factory=list)
    passphrases: list = field(default_factory=list)
    file: bytes = b""


def parse(name, content):
    vector = Vector(name)
    compressed = False
    head, _, body = content.partition(b"\n\n")
    for line in head.decode().splitlines():
        key, _, value = line.partition(": ")
        if key == "identity":
            vector.identities.append(value)
        elif key == "passphrase":
            vector.passphrases.append(value)
        elif key == "compressed":
            assert value == "zlib"
            compressed = True
        elif key == "armored":
            vector.armored = value == "yes"
        elif key in ("expect", "payload"):
            setattr(vector, key, value)
        else:
            assert key in ("file key", "comment"), key
    vector.file = zlib.decompress(body) if compressed else body
    return vector


def load():
    subprocess.run([ROOT / "tests/hostile/age_vectors.sh", FOLDER], check=True)
    text = (FOLDER / "index.js").read_text(encoding="utf-8")
    found = re.findall(r'^// \.\./testdata/(\w+)\nvar \w+ = __toBinary\("([A-Za-z0-9+/=]*)"\);', text, flags=re.M)
    assert len(found) == len(set(dict(found)))
    return [parse(name, base64.b64decode(content)) for name, content in found]
