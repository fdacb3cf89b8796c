"""Makes the pieces of a bundle small enough to travel in one go, by zeroing what the benchmark never touches.

  python shrink.py kernels LIB.so HEAD_SIZES   machine code of kernels that no graph of the product launches (mixtures of
                                               experts, quantised products, attention of other head sizes than 64,128)
  python shrink.py locales NODE                ICU data of languages, collations, calendars, time zones and the like

In place; prints the bytes zeroed. Kernels need the package zstandard. Modules of kernels are loaded when one of theirs is
first launched, and locale data when a locale is first asked for: what is zeroed must not be, and an attempt fails.
"""

import re
import struct
import sys

FATBIN_MAGIC = 0xBA55ED50
UNUSED = (b"MoeFCGemm", b"fpA_intB", b"FpAIntB", b"fused_moe", b"CollectiveMmaInterleaved")


def elf_section(data: bytearray, wanted: str):
    (start,) = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", data, start + i * size) for i in range(count)]
    for name, _type, _flags, _address, offset, length in headers:
        at = headers[names][4] + name
        if data[at : data.index(b"\0", at)].decode() == wanted:
            return offset, length
    raise SystemExit(f"no section {wanted}")


def kernels(data: bytearray, head_sizes) -> int:
    import zstandard

    kept_sizes = {size.encode() for size in head_sizes}
    offset, length = elf_section(data, ".nv_fatbin")
    zeroed, at = 0, offset
    while at < offset + length - 16:
        magic, _version, header, payload = struct.unpack_from("<IHHQ", data, at)
        if magic != FATBIN_MAGIC:
            at += 8
            continue
        entry, end = at + header, at + header + payload
        while entry < end:
            _kind, _v, entry_header, size = struct.unpack_from("<HHIQ", data, entry)
            first = entry + entry_header
            code = bytes(data[first : first + size])
            if code[:4] == b"\x28\xb5\x2f\xfd":
                code = zstandard.ZstdDecompressor().decompressobj().decompress(code)
            if never_launched(set(re.findall(rb"\.text\.([A-Za-z0-9_$]+)", code)), kept_sizes):
                data[first : first + size] = bytes(size)
                zeroed += size
            entry = first + size
        at = end
    return zeroed


def never_launched(names, kept_sizes) -> bool:
    """All the kernels of a module."""
    if not names:
        return False
    if any(all(part in name for name in names) for part in UNUSED):
        return True
    sizes = [re.search(rb"Flash_fwd_kernel_traitsILi(\d+)E", name) for name in names]
    return all(found and found.group(1) not in kept_sizes for found in sizes)


def locales(data: bytearray) -> int:
    """ICU's common data: a header, the number of items, then places of names and of items from there on."""
    at = -1
    while True:
        at = data.find(b"\xda\x27", at + 1)
        if at == -1:
            raise SystemExit("no ICU data")
        if data[at + 10 : at + 14] == b"CmnD" or data[at + 12 : at + 16] == b"CmnD":
            break
    base = at - 2
    (header,) = struct.unpack_from("<H", data, base)
    table = base + header
    (count,) = struct.unpack_from("<I", data, table)
    items = [struct.unpack_from("<II", data, table + 4 + 8 * i) for i in range(count)]
    zeroed = 0
    for i in range(count - 1):
        name_at = table + items[i][0]
        name = data[name_at : data.index(b"\0", name_at)].decode().split("/", 1)[-1]
        start, end = table + items[i][1], table + items[i + 1][1]
        if wanted(name):
            continue
        data[start:end] = bytes(end - start)
        zeroed += end - start
    return zeroed


def wanted(name: str) -> bool:
    folder, file = name.rsplit("/", 1) if "/" in name else ("", name)
    if folder in ("brkitr", "coll", "rbnf", "translit") and file.endswith(".res"):
        return file in ("root.res", "en.res", "res_index.res", "ucadata.res")
    if file.endswith((".cnv", ".dict")):
        return False
    locale = re.fullmatch(r"[a-z]{2,3}(_\w+)?\.res", file)
    return not locale or file in ("en.res", "en_US.res", "en_001.res")


def main() -> None:
    what, path, *rest = sys.argv[1:]
    with open(path, "rb") as file:
        data = bytearray(file.read())
    zeroed = kernels(data, rest[0].split(",")) if what == "kernels" else locales(data)
    with open(path, "wb") as file:
        file.write(data)
    print(f"{path}: zeroed {zeroed} bytes of {len(data)}")


main()
