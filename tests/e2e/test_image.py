"""The image as it ships: small, no more in it than its bill of materials says, nothing to run but the restore, the same layers
from the same sources. `make check-image` runs this and counts each file and rule."""
import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import time

import pytest
import harness

IMAGE = "restore:local"
LIMIT = 25 << 20
SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox", "toybox", "env", "perl", "python3", "awk"}
PACKAGE_MANAGERS = {"apt", "apt-get", "dpkg", "apk", "rpm", "dnf", "yum", "pip", "pip3"}
BILL = "usr/share/restore/sbom.spdx.json"


def docker(*arguments):
    return subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, check=True).stdout


def layers():
    """The image's layers, as tars."""
    with tarfile.open(fileobj=io.BytesIO(docker("save", IMAGE))) as saved:
        manifest = json.load(saved.extractfile("manifest.json"))[0]
        return [saved.extractfile(name).read() for name in manifest["Layers"]]


@pytest.fixture(scope="module")
def members():
    """Every entry of every layer: (tar entry, content)."""
    found = []
    for layer in layers():
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            found += [(entry, tar.extractfile(entry).read() if entry.isfile() else b"") for entry in tar]
    return found


@pytest.fixture(scope="module")
def bill(members):
    return json.loads(next(content for entry, content in members if entry.name == BILL))


def test_it_is_small():
    size = sum(len(gzip.compress(layer, 6)) for layer in layers())
    print(f"\n{size / (1 << 20):.1f} MiB compressed")
    assert size < LIMIT


def test_every_file_is_in_the_bill_of_materials(members, bill):
    owners = {relation["relatedSpdxElement"]: relation["spdxElementId"] for relation in bill["relationships"]
              if relation["relationshipType"] == "CONTAINS"}
    packages = {package["SPDXID"]: package for package in bill["packages"]}
    listed = {file["fileName"][2:]: file for file in bill["files"]}
    present = {entry.name: content for entry, content in members if entry.isfile() and entry.name != BILL}
    assert set(listed) == set(present)
    for name, content in sorted(present.items()):
        sums = {item["algorithm"]: item["checksumValue"] for item in listed[name]["checksums"]}
        assert sums["SHA256"] == hashlib.sha256(content).hexdigest(), name
        package = packages[owners[listed[name]["SPDXID"]]]
        print(f"{len(content):>9} {package['name']} {package['versionInfo']}  /{name}")
        assert package["versionInfo"]
        assert package["name"] == "restore" or package["licenseDeclared"] != "NOASSERTION"


def test_the_bill_names_what_is_linked_statically(bill):
    links = {(relation["spdxElementId"].rsplit("-restore-restore-")[-1], relation["relatedSpdxElement"].split("-Package-")[-1])
             for relation in bill["relationships"] if relation["relationshipType"] == "STATIC_LINK"}
    assert {("unpacker", "libarchive-dev"), ("unpacker", "libzstd-dev"), ("unpacker", "zlib1g-dev"), ("unpacker", "liblzma-dev"),
            ("stager.tar", "libarchive-dev"), ("stager.tar", "libacl1-dev"), ("stager.tar", "libc6-dev")} <= links
    assert ("unpacker", "libcurl4-openssl-dev") not in links


def test_the_bill_is_spdx(bill):
    assert bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0"
    names = {element["SPDXID"] for element in (*bill["packages"], *bill["files"])} | {"SPDXRef-DOCUMENT"}
    assert len(names) == len(bill["packages"]) + len(bill["files"]) + 1
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in names)
    for relation in bill["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= names


def test_no_shell_and_no_package_manager(members):
    names = {os.path.basename(entry.name) for entry, _ in members}
    assert names & SHELLS == set() and names & PACKAGE_MANAGERS == set()
    assert not any(content.startswith(b"#!") for _, content in members)
    programs = sorted(os.path.basename(entry.name) for entry, content in members
                      if content.startswith(b"\x7fELF") and ".so" not in entry.name)
    makefile = (harness.ROOT / "Makefile").read_text()
    built = re.search(r"^BINARIES = (.*)$", makefile, re.M).group(1).split()
    assert programs == sorted(set(built) - {"restore-stager"})  # which is in its own image's tar


def test_no_setuid_nothing_world_writable_no_devices(members):
    for entry, _ in members:
        assert entry.isfile() or entry.isdir() or entry.issym(), entry.name
        assert entry.issym() or entry.mode & 0o6002 == 0, f"{entry.name} {entry.mode:o}"
        assert (entry.uid, entry.gid) == (0, 0), entry.name
        assert not any("capability" in name for name in entry.pax_headers), entry.name


def test_built_again_it_has_the_same_layers():
    """All after the installation of packages is done anew: compiled, linked, collected."""
    tag = f"restore-test/again-{os.getpid()}"
    again = ["docker", "build", "--force-rm", "--network", "host", "--build-arg", f"REBUILD={time.time():.0f}", "--build-arg",
             f"BASE_IMAGE={os.environ.get('BASE_IMAGE') or 'restore-test/base'}", "-t", tag, str(harness.ROOT)]
    done = subprocess.run(again, env={**os.environ, "DOCKER_BUILDKIT": "0"}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert done.stdout.count("Using cache") < done.stdout.count("Step ")
    try:
        first, second = (docker("image", "inspect", "-f", "{{json .RootFS.Layers}}", name) for name in (IMAGE, tag))
        assert first == second
    finally:
        docker("rmi", tag)
