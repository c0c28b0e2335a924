"""unpack: the real unpacker, sandbox and all, against `zstd -dc | tee >(sha256sum) >/dev/null` on the same archive.

The unpacker is driven as by tests/e2e; its archive is spliced from the page cache into its pipe. Two ways: every section
wanted and the stream it makes of them spliced to nothing, and no section wanted, so that everything is only verified.
Beside that the limit: zstd alone, without a digest. (Debian's sha256sum is the bottleneck of the pipeline.)
"""
import subprocess

import drain
import measure
import unpacker_driver


class Unpacker(unpacker_driver.Unpacker):
    """Reads the archive from a file and looks at nothing that comes out."""

    def _feed(self, data, close):
        drain.from_file(data, self.data.fileno())

    def verify(self, path, wants):
        for want in wants:
            self.want(*want)
        drain.in_background(drain.to_nothing, self.bulk.fileno())
        drain.in_background(self._feed, path, False)
        self.down.write(unpacker_driver.encode("unpack", size=path.stat().st_size, sha256="", format=unpacker_driver.ZSTD,
                                               digests=0, encrypted=0,
                                               passphrase=0))
        for name, values in self.frames:
            if name == "unpacked":
                return values
            assert name != "failed", values


def ours(path, wants):
    with Unpacker() as unpacker:  # its start, some 20 ms, is not part of unpacking
        return measure.seconds_of(lambda: unpacker.verify(path, wants))


def theirs(path):
    command = f"zstd -qdc '{path}' | tee >(sha256sum >/dev/null) >/dev/null; wait $!"
    return measure.seconds_of(lambda: subprocess.run(["bash", "-c", command], check=True))


def limit(path):
    return measure.seconds_of(lambda: subprocess.run(["zstd", "-qdc", str(path)], check=True, stdout=subprocess.DEVNULL))


def unpacked_size(path):
    done = subprocess.run(f"zstd -qdc '{path}' | wc -c", shell=True, capture_output=True, check=True)
    return int(done.stdout)


def run(bench):
    archive = bench.archive
    wants = archive.wants
    megabytes = unpacked_size(archive.path) / 1e6
    results = measure.alternate(bench.rounds + 2, {
        "wanted": lambda: megabytes / ours(archive.path, wants),
        "verified": lambda: megabytes / ours(archive.path, ()),
        "zstd": lambda: megabytes / theirs(archive.path),
        "limit": lambda: megabytes / limit(archive.path)})
    for way in ("wanted", "verified"):
        bench.report.add_rounds(f"unpack, all {way}", "rate", "MB/s", results[way], "zstd -dc | tee >(sha256sum)",
                                results["zstd"], ">= 0.9")
        bench.report.add_rounds(f"unpack, all {way}", "rate", "MB/s", results[way], "zstd -dc >/dev/null", results["limit"])
