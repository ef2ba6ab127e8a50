r"""The bytes of a model file: a line that names the format, a checksum, a JSON header, plain arrays.

    ebm_ppl energy 1\n          the format and its version, in ASCII
    32 bytes                    SHA-256 of all that follows
    8 bytes                     length of the header, little endian
    header                      JSON in UTF-8; "arrays" holds the dtype and shape of each array
    arrays                      one after the other, row by row, little endian, nothing between them

The first line will stay as it is in later versions, whatever follows it, so that an older program can say
what it cannot read.
"""

import hashlib
import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ebm_ppl._foreign import parse_json

VERSION = 1
_NAME = b"ebm_ppl energy"
_DIGEST_SIZE = hashlib.sha256().digest_size
_LENGTH_SIZE = 8
DTYPES = ("bool", "int32", "int64", "float16", "bfloat16", "float32", "float64")
"""Names of the kinds of numbers that a file may hold."""
MOST_HEADER = 2**24
"""Largest header in bytes: the constants of points with some 400,000 coordinates, and metadata."""
MOST_ARRAYS = 1024
"""Most arrays of a file: a network of 511 layers. To evaluate a model abstractly takes 1 to 5 ms for each."""
_MOST_AXES = 32
_MOST_ENTRIES = 2**40


class MalformedError(Exception):
    """Why some bytes are no model file; a sentence without its subject."""


def pack(header: dict[str, Any], arrays: Sequence[np.ndarray]) -> bytes:
    """The bytes of a model file.

    Args:
        header: What JSON can hold.
        arrays: The arrays, of dtypes among `DTYPES`.
    """
    layout = [{"dtype": array.dtype.name, "shape": list(array.shape)} for array in arrays]
    text = json.dumps({**header, "arrays": layout}).encode()
    blob = b"".join(_little_endian(array).tobytes() for array in arrays)
    body = len(text).to_bytes(_LENGTH_SIZE, "little") + text + blob
    return _NAME + b" %d\n" % VERSION + hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header and arrays of a model file; the arrays lie in `content` and take no memory of their own.

    Raises:
        MalformedError: If the bytes are anything but a whole model file of a known version, or its header is
            longer than `MOST_HEADER`, or describes more than `MOST_ARRAYS`.
    """
    first = re.match(_NAME + rb" ([0-9]{1,9})\n", content)
    if first is None:
        raise MalformedError("is none")
    if int(first[1]) != VERSION:
        raise MalformedError(
            f"is of format {int(first[1])}, and this version of ebm_ppl reads format {VERSION}"
        )
    start = first.end() + _DIGEST_SIZE
    body = memoryview(content)[start:]
    if content[first.end() : start] != hashlib.sha256(body).digest():
        raise MalformedError("is damaged or incomplete")
    length = int.from_bytes(body[:_LENGTH_SIZE], "little")
    if length > MOST_HEADER:
        raise MalformedError(
            f"holds {length} bytes beside its arrays, and at most {MOST_HEADER} are read"
        )
    text, blob = body[_LENGTH_SIZE:][:length], body[_LENGTH_SIZE:][length:]
    try:
        header = parse_json(bytes(text))
        return header, _arrays(header["arrays"], blob)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise MalformedError("holds a header that does not fit its contents") from error


def _arrays(layout: Any, blob: memoryview) -> list[np.ndarray]:
    if not isinstance(layout, list) or len(layout) > MOST_ARRAYS:
        raise ValueError(f"not a list of at most {MOST_ARRAYS} arrays")
    arrays, offset = [], 0
    for entry in layout:
        if entry["dtype"] not in DTYPES:
            raise ValueError(f"unknown dtype {entry['dtype']!r}")
        dtype, shape = jnp.dtype(entry["dtype"]), _as_shape(entry["shape"])
        count = math.prod(shape)
        if count * dtype.itemsize > len(blob) - offset:
            raise ValueError("an array is larger than what is there")
        flat = (
            np.frombuffer(blob, dtype, count=count, offset=offset) if count else np.empty(0, dtype)
        )
        arrays.append(_little_endian(flat).reshape(shape))
        offset += count * dtype.itemsize
    if offset != len(blob):
        raise ValueError(f"{len(blob) - offset} bytes are left over")
    return arrays


def _as_shape(sizes: Any) -> tuple[int, ...]:
    """A shape whose product, leaving zeros out, is a machine's number."""
    if not isinstance(sizes, list) or len(sizes) > _MOST_AXES:
        raise ValueError(f"a shape is a list of at most {_MOST_AXES} sizes")
    if not all(type(size) is int and 0 <= size < _MOST_ENTRIES for size in sizes):
        raise ValueError(f"a size is an integer below {_MOST_ENTRIES}")
    if math.prod(max(size, 1) for size in sizes) >= _MOST_ENTRIES:
        raise ValueError(f"an array has fewer than {_MOST_ENTRIES} entries")
    return tuple(sizes)


def _little_endian(array: np.ndarray) -> np.ndarray:
    """The same bytes on the machines that people have; swapped on the others, both ways."""
    return array if sys.byteorder == "little" else array.byteswap()
