"""Reads what a Mac would read, and says whether it holds: of packaging/tests/pkg.

    opened.py table PACKAGE.pkg     the checksums of the archive and of all in it
    opened.py bill BOM FOLDER       each entry of the bill is in the folder, with its rights, size and checksum, and
                                    each in the folder is in the bill
    opened.py signature PROGRAM     each Mac's part is signed, and each page has the hash that is signed
    opened.py daemon FILE.plist     what the daemon is called, runs and runs as
"""

import hashlib
import plistlib
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from xml.etree import ElementTree


def table(package):
    data = Path(package).read_bytes()
    magic, head, version, packed, plain, kind = struct.unpack_from(">4sHHQQI", data)
    assert (magic, version, kind) == (b"xar!", 1, 1), (magic, version, kind)
    compressed = data[head : head + packed]
    heap = data[head + packed :]
    text = zlib.decompress(compressed)
    assert len(text) == plain
    toc = ElementTree.fromstring(text).find("toc")
    checksum = toc.find("checksum")
    at, size = (int(checksum.findtext(name)) for name in ("offset", "size"))
    assert heap[at : at + size] == hashlib.sha1(compressed).digest(), "the table has another checksum"
    for file in toc.iter("file"):
        stored = file.find("data")
        if stored is None:
            continue
        at, length, size = (int(stored.findtext(name)) for name in ("offset", "length", "size"))
        part = heap[at : at + length]
        assert hashlib.sha1(part).hexdigest() == stored.findtext("archived-checksum"), file.findtext("name")
        if stored.find("encoding").get("style") == "application/x-gzip":
            part = zlib.decompress(part)
        assert len(part) == size, file.findtext("name")
        assert hashlib.sha1(part).hexdigest() == stored.findtext("extracted-checksum"), file.findtext("name")
        print(f"{size:>10} {file.findtext('name')}")


class Bill:
    """Blocks by number, and some by name."""

    def __init__(self, data):
        magic, version, _, at, _, names_at, _ = struct.unpack_from(">8sIIIIII", data)
        assert (magic, version) == (b"BOMStore", 1)
        count = struct.unpack_from(">I", data, at)[0]
        places = [struct.unpack_from(">II", data, at + 4 + 8 * number) for number in range(count)]
        self.blocks = [data[at : at + length] for at, length in places]
        self.names = {}
        (count,) = struct.unpack_from(">I", data, names_at)
        names_at += 4
        for _ in range(count):
            number, length = struct.unpack_from(">IB", data, names_at)
            self.names[data[names_at + 5 : names_at + 5 + length].decode()] = number
            names_at += 5 + length

    def entries(self):
        """Number of the folder, name, and what is known, leaf by leaf."""
        tree = self.blocks[self.names["Paths"]]
        kind, _, child, _, count, _ = struct.unpack_from(">4sIIIIB", tree)
        assert kind == b"tree"
        while not struct.unpack_from(">H", self.blocks[child])[0]:
            (child,) = struct.unpack_from(">I", self.blocks[child], 12)
        found = 0
        while child:
            _, here, after, _ = struct.unpack_from(">HHII", self.blocks[child])
            for number in range(here):
                what, called = struct.unpack_from(">II", self.blocks[child], 12 + 8 * number)
                identity, info = struct.unpack_from(">II", self.blocks[what])
                (parent,) = struct.unpack_from(">I", self.blocks[called])
                yield identity, parent, self.blocks[called][4:].rstrip(b"\0").decode(), self.blocks[info]
                found += 1
            child = after
        assert found == count, (found, count)


def bill(file, folder):
    paths, seen = {0: Path(folder)}, set()
    for identity, parent, name, info in Bill(Path(file).read_bytes()).entries():
        path = paths[parent] / name
        paths[identity] = path
        seen.add(path.resolve())
        kind, _, _, mode, user, group, _, size, _, checksum, _ = struct.unpack_from(">BBHHIIIIBII", info)
        there = path.lstat()
        assert (user, group) == (0, 0), path
        assert mode == there.st_mode, f"{path}: {mode:o} is {there.st_mode:o}"
        assert kind == (2 if path.is_dir() else 1), path
        if path.is_file():
            of_file = subprocess.run(["cksum", path], check=True, capture_output=True, text=True).stdout.split()
            assert [str(checksum), str(size)] == of_file[:2], path
    there = {path.resolve() for path in Path(folder).rglob("*")} | {Path(folder).resolve()}
    assert seen == there, seen ^ there
    print(len(seen), "entries")


def slices(data):
    """Each part, by its kind of processor (mach-o/fat.h)."""
    magic, count = struct.unpack_from(">II", data)
    assert magic == 0xCAFEBABE, hex(magic)
    for number in range(count):
        processor, _, at, size, _ = struct.unpack_from(">IIIII", data, 8 + 20 * number)
        yield {0x01000007: "x86_64", 0x0100000C: "arm64"}[processor], data[at : at + size]


def signature_of(part):
    """What LC_CODE_SIGNATURE points to (mach-o/loader.h)."""
    _, _, _, _, commands, _, _, _ = struct.unpack_from("<IIIIIIII", part)
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<II", part, at)
        if command == 0x1D:
            place, length = struct.unpack_from("<II", part, at + 8)
            return part[place : place + length]
        at += size
    return None


def signature(program):
    """The layout is that of Apple's cs_blobs.h."""
    for processor, part in slices(Path(program).read_bytes()):
        signed = signature_of(part)
        if signed is None:
            print(processor, "is not signed")
            continue
        magic, _, count = struct.unpack_from(">III", signed)
        assert magic == 0xFADE0CC0, hex(magic)
        for number in range(count):
            kind, at = struct.unpack_from(">II", signed, 12 + 8 * number)
            if kind == 0:
                pages = check_pages(part, signed[at:])
                print(processor, "is signed,", pages, "pages")


def check_pages(part, directory):
    fields = struct.unpack_from(">IIIIIIIIIBBBB", directory)
    magic, _, _, _, hashes_at, _, _, pages, limit, hash_bytes, _, _, page_shift = fields
    assert magic == 0xFADE0C02, hex(magic)
    page = 1 << page_shift
    for number in range(pages):
        content = part[number * page : min((number + 1) * page, limit)]
        at = hashes_at + number * hash_bytes
        assert directory[at : at + hash_bytes] == hashlib.sha256(content).digest()[:hash_bytes], f"page {number}"
    assert pages == -(-limit // page)
    return pages


def daemon(file):
    with open(file, "rb") as opened:
        known = plistlib.load(opened)
    print(known["Label"], *known["ProgramArguments"], "as", known["UserName"])


command, *arguments = sys.argv[1:]
{"table": table, "bill": bill, "signature": signature, "daemon": daemon}[command](*arguments)
