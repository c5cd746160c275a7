#!/usr/bin/env python3
"""Makes the golden files with the reference builder: make.py PATH-TO-nydus-image OUTPUT-DIRECTORY

Needs nydus-image 2.2.0 and the zstd program. All input is made here, so the output depends on the builder alone.
"""
import gzip
import hashlib
import io
import os
import struct
import subprocess
import sys
import tempfile


class Tar:
    """Writes ustar headers with pax records where needed: device fields are always filled."""

    def __init__(self):
        self.out = io.BytesIO()

    def add(self, name, kind, data=b"", link=b"", xattr=None, mode=0o644, uid=0, gid=0, mtime=1700000000, device=(0, 0)):
        records = [(b"path", name)] if len(name) > 100 else []
        records += [(b"linkpath", link)] if len(link) > 100 else []
        records += [(b"SCHILY.xattr." + xattr[0], xattr[1])] if xattr else []
        if records:
            body = b"".join(self.record(key, value) for key, value in records)
            self.entry(b"pax", b"x", body, b"", 0o644, 0, 0, 0, (0, 0))
        self.entry(name, kind, data, link, mode, uid, gid, mtime, device)

    @staticmethod
    def record(key, value):
        rest = b" " + key + b"=" + value + b"\n"
        size = len(rest) + 1
        while len(str(size)) + len(rest) != size:
            size = len(str(size)) + len(rest)
        return str(size).encode() + rest

    def entry(self, name, kind, data, link, mode, uid, gid, mtime, device):
        header = bytearray(512)
        for at, field in [
            (0, name[:100]), (100, b"%07o" % mode), (108, b"%07o" % uid), (116, b"%07o" % gid),
            (124, b"%011o" % len(data)), (136, b"%011o" % mtime), (148, b" " * 8), (156, kind), (157, link[:100]),
            (257, b"ustar\x0000"), (329, b"%07o" % device[0]), (337, b"%07o" % device[1]),
        ]:
            header[at : at + len(field)] = field
        header[148:155] = b"%06o\0" % sum(header)
        self.out.write(bytes(header) + data + bytes(-len(data) % 512))

    def done(self):
        return self.out.getvalue() + bytes(1024)


def noise(seed, length):
    """Bytes that do not compress, the same on every run."""
    blocks = (hashlib.sha256(b"%d/%d" % (seed, i)).digest() for i in range(-(-length // 32)))
    return b"".join(blocks)[:length]


def mixed(link_xattr=None):
    """Every kind of inode, hard links across directories, names below '.', chunks used several times.

    In v5 the builder wants the link to repeat an attribute of the file: else its record cannot be read.
    """
    tar = Tar()
    a, b, c = (noise(i, 4096) for i in range(3))
    tar.add(b"usr/", b"5", mode=0o755)
    tar.add(b"usr/lib/", b"5", mode=0o2755, uid=1000, gid=70000)
    tar.add(b"usr/lib/abba", b"0", a + b + b + a)
    tar.add(b"usr/lib/run", b"0", a + c + noise(9, 100), mode=0o4755)
    tar.add(b"usr/lib/inner/deep/file", b"0", b"below directories that no entry describes")
    tar.add(b"-first", b"0", c + a)
    tar.add(b"+plus", b"0")
    tar.add(b"zz", b"0", b + c, xattr=(b"user.note", b"binary\0value"))
    tar.add(b"usr/lib/zz-again", b"1", link=b"zz", xattr=link_xattr)
    tar.add(b"link", b"2", link=b"usr/lib/run", mode=0o777)
    tar.add(b"dev/", b"5", mode=0o755, mtime=0)
    tar.add(b"dev/null", b"3", mode=0o666, device=(1, 3))
    tar.add(b"dev/sda1", b"4", mode=0o660, device=(259, 0x12345))
    tar.add(b"dev/pipe", b"6", xattr=(b"trusted.pipe", b""))
    tar.add(b"name-\xff-\xc3\xa9", b"0", b"not UTF-8", xattr=(b"security.capability", noise(5, 20).replace(b"\n", b"N")))
    return tar.done()


def wide():
    """Directories of several blocks, symbolic links around the length where they leave their inode's block."""
    tar = Tar()
    for i in range(150):
        tar.add(b"%03d-" % i + b"n" * (i % 90), b"0", b"%d" % (i % 7), uid=i)
    for length in (1, 31, 255, 3990, 4031, 4032, 4033, 4095):
        tar.add(b"link-%d" % length, b"2", link=(b"target/" * 600)[:length])
    for i in range(60):
        tar.add(b"sub/%03d-" % i + b"m" * 100, b"0", xattr=(b"user.x", b"v" * (i * 20)) if i % 4 == 0 else None)
    tar.add(b"sub/many-chunks", b"0", b"".join(noise(i % 5, 4096) for i in range(530)))
    return tar.done()


def bare():
    """Nothing that has chunks."""
    tar = Tar()
    tar.add(b"empty", b"0")
    tar.add(b"d/", b"5", mode=0o700)
    tar.add(b"d/l", b"2", link=b"../empty")
    return tar.done()


def upper():
    """Replaces and removes what mixed() brought."""
    tar = Tar()
    tar.add(b"usr/lib/.wh.run", b"0")
    tar.add(b"usr/share/doc", b"0", b"text\n" * 3000, xattr=(b"user.origin", b"upper"))
    tar.add(b"top", b"0", noise(0, 4096) + noise(77, 10000))
    return tar.done()


def contents(blob):
    """Sections of a blob by name: stored bytes, compressor flag."""
    size = int(blob[-512:][124:135], 8)
    entries = blob[-512 - size : -512]
    sections = {}
    for at in range(0, size, 128):
        flags, _, name = struct.unpack_from("<II16s", entries, at)
        offset, stored = struct.unpack_from("<QQ", entries, at + 56)
        sections[name.rstrip(b"\0").decode()] = (blob[offset : offset + stored], flags)
    return sections


def bootstrap(blob):
    if blob[-512:].startswith(b"image.boot"):
        # v5: without a table of contents, the bootstrap is the last section.
        return blob[-512 - int(blob[-512:][124:135], 8) : -512]
    stored, flags = contents(blob)["image.boot"]
    if flags == 2:
        return subprocess.run(["zstd", "-dcq"], input=stored, capture_output=True, check=True).stdout
    return stored


def main(builder, target):
    def create(tar, compressor, *options, prefetch=b"", version="6"):
        toc = ("--features", "blob-toc") if version == "6" else ()
        with tempfile.TemporaryDirectory() as scratch:
            source, blob = os.path.join(scratch, "layer.tar"), os.path.join(scratch, "blob")
            open(source, "wb").write(tar)
            command = [builder, "create", "--log-level", "warn", "--type", "tar-rafs", "--fs-version", version, "--blob", blob]
            command += ["--blob-inline-meta", *toc, "--whiteout-spec", "none", "--compressor", compressor]
            command += ["--prefetch-policy", "fs" if prefetch else "none", *options, source]
            subprocess.run(command, input=prefetch, check=True)
            return open(blob, "rb").read()

    def merge(*blobs, prefetch=b""):
        with tempfile.TemporaryDirectory() as scratch:
            layers = []
            for blob in blobs:
                layers.append(os.path.join(scratch, hashlib.sha256(blob).hexdigest()))
                open(layers[-1], "wb").write(bootstrap(blob))
            output = os.path.join(scratch, "merged.boot")
            command = [builder, "merge", "--log-level", "warn", "--bootstrap", output]
            command += ["--prefetch-policy", "fs" if prefetch else "none", *layers]
            subprocess.run(command, input=prefetch, check=True)
            return open(output, "rb").read()

    def zran(tar):
        """A bootstrap that refers to the original tar.gz."""
        with tempfile.TemporaryDirectory() as scratch:
            source, output = os.path.join(scratch, "layer.tar.gz"), os.path.join(scratch, "boot")
            open(source, "wb").write(gzip.compress(tar, mtime=0))
            command = [builder, "create", "--log-level", "warn", "--type", "targz-ref", "--bootstrap", output]
            subprocess.run([*command, "--blob-dir", scratch, source], check=True)
            return open(output, "rb").read()

    def keep(name, data):
        open(os.path.join(target, name), "wb").write(data)

    small = ("--chunk-size", "0x1000")
    first = create(mixed(), "none", *small, prefetch=b"/\n")
    keep("mixed.boot", bootstrap(first))
    keep("mixed-lz4-sha256.boot", bootstrap(create(mixed(), "lz4_block", "--digester", "sha256", "--chunk-size", "0x1000000")))
    keep("wide.boot", bootstrap(create(wide(), "zstd", *small)))
    keep("bare.boot", bootstrap(create(bare(), "zstd")))
    second = create(upper(), "zstd", *small)
    keep("merged.boot", merge(first, create(bare(), "none", *small), second, prefetch=b"/usr/lib/abba\n/top\n"))
    broken = create(mixed(), "lz4_block", *small, version="5")
    keep("v5-link-without-attribute.boot", bootstrap(broken))
    complete = mixed(link_xattr=(b"user.note", b"binary\0value"))
    first = create(complete, "lz4_block", *small, prefetch=b"/\n", version="5")
    keep("v5-mixed.boot", bootstrap(first))
    keep("v5-bare.boot", bootstrap(create(bare(), "zstd", version="5")))
    keep("v5-wide.boot", bootstrap(create(wide(), "zstd", *small, "--digester", "sha256", version="5")))
    upper_v5 = create(upper(), "lz4_block", *small, version="5")
    lowest = create(bare(), "lz4_block", *small, version="5")
    keep("v5-merged.boot", merge(first, lowest, upper_v5, prefetch=b"/usr/lib/abba\n/top\n"))
    keep("zran.boot", zran(mixed()))
    # The small blob keeps its chunks, so that the tests of blob metadata have a whole one.
    keep("upper.blob", second)


main(*sys.argv[1:])
