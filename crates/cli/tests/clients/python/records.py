"""The records every client writes and expects back, drawn from a seed.

The same recipe stands in `records.rs` and in `Records.java`; the digests that the three compute are
compared with each other, so a slip in one of them cannot pass unnoticed.
"""

import struct
import zlib
from typing import NamedTuple, Optional

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
POOL_SIZE = 65536
OFFSETS = 32768
HEADER_NAMES = ("trace-id", "", "größe", "k")
PHRASE = b"the line below which a record is committed, "


def mix(z):
    """The finalizer of SplitMix64."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


NOISE = b"".join(struct.pack("<Q", mix(word + 1)) for word in range(POOL_SIZE // 8))
TEXT = (PHRASE * (POOL_SIZE // len(PHRASE) + 1))[:POOL_SIZE]


class Record(NamedTuple):
    """One record; `headers` is a tuple of (name, value or None)."""

    partition: int
    timestamp: int
    key: Optional[bytes]
    value: Optional[bytes]
    headers: tuple


# What a client refuses to send: the recipe writes an empty field where it would write a null.
NULL_HEADERS = "null headers"
KEY_AND_VALUE_NULL = "key and value null"


class Recipe(NamedTuple):
    """Everything that a record depends on, beside its number."""

    seed: int
    partitions: int
    base_timestamp: int
    refused: tuple = ()

    def stream(self, first, count):
        """Records `first..first + count` in the order they are produced."""
        return [record(self, index) for index in range(first, first + count)]

    def by_partition(self, count):
        """The first `count` records, split by partition; the position in each list is the offset."""
        split = [[] for _ in range(self.partitions)]
        for each in self.stream(0, count):
            split[each.partition].append(each)
        return split


def record(recipe, index):
    """Record number `index` of the stream."""
    state = (recipe.seed ^ ((index + 1) * GOLDEN)) & MASK

    def draw():
        nonlocal state
        state = mix((state + GOLDEN) & MASK)
        return state >> 1  # a positive number in Java too

    r = draw()
    if r % 16 == 0:
        key = None
    elif r % 16 == 1:
        key = b""
    else:
        start = (r >> 16) % OFFSETS
        key = NOISE[start : start + 1 + (r >> 8) % 32]

    r = draw()
    if r % 16 == 0:
        value = None
    elif r % 16 == 1:
        value = b""
    else:
        size = (r >> 8) % (8192 if r % 16 == 2 else 256)
        pool = TEXT if (r >> 24) & 1 else NOISE
        start = (r >> 32) % OFFSETS
        value = pool[start : start + size]
    if key is None and value is None and KEY_AND_VALUE_NULL in recipe.refused:
        value = b""

    r = draw()
    partition = r % recipe.partitions
    # Not in order, so that a look-up by time has to find the first match, not a binary search's.
    timestamp = recipe.base_timestamp + 10 * index - (r >> 8) % 50
    headers = []
    for _ in range((r >> 16) % 4):
        r = draw()
        name = HEADER_NAMES[r % 4]
        kind = (r >> 8) % 8
        if kind == 0:
            headers.append((name, b"" if NULL_HEADERS in recipe.refused else None))
        elif kind == 1:
            headers.append((name, b""))
        else:
            start = (r >> 32) % OFFSETS
            headers.append((name, NOISE[start : start + (r >> 16) % 24]))
    return Record(partition, timestamp, key, value, tuple(headers))


def digest(split):
    """CRC-32 over every field of every record, partition by partition."""
    crc = 0
    for partition, records in enumerate(split):
        for offset, each in enumerate(records):
            parts = [struct.pack(">iqq", partition, offset, each.timestamp)]
            for field in (each.key, each.value):
                parts.append(_sized(field))
            parts.append(struct.pack(">i", len(each.headers)))
            for name, value in each.headers:
                parts.append(_sized(name.encode()))
                parts.append(_sized(value))
            crc = zlib.crc32(b"".join(parts), crc)
    return f"{crc:08x}"


def _sized(field):
    return struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field
