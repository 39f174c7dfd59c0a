# SPDX-License-Identifier: MIT
"""Prints what a safetensors file holds, as JSON: by its bytes alone and, where Python's safetensors is installed, by that.

    python3 read_safetensors.py FILE
"""
import json
import struct
import sys

TYPES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q", "I32": "i", "U8": "B"}


def values(dtype, data):
    if dtype == "BF16":
        return [struct.unpack("<f", b"\0\0" + data[i:i + 2])[0] for i in range(0, len(data), 2)]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(TYPES[dtype])}{TYPES[dtype]}", data))


def read_bytes(path):
    with open(path, "rb") as file:
        content = file.read()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length].decode("utf-8"))
    data = content[8 + length:]
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        tensors[name] = {"dtype": tensor["dtype"], "shape": tensor["shape"], "values": values(tensor["dtype"], data[begin:end])}
    return {"metadata": metadata, "tensors": tensors, "data_begins_at": 8 + length}


def expect_the_same_of_safetensors(path, read):
    try:
        from safetensors import deserialize
    except ImportError:
        return
    with open(path, "rb") as file:
        found = deserialize(file.read())
    assert {name for name, _ in found} == set(read["tensors"])
    for name, tensor in found:
        own = read["tensors"][name]
        assert (tensor["dtype"], tensor["shape"]) == (own["dtype"], own["shape"]), name
        assert values(tensor["dtype"], bytes(tensor["data"])) == own["values"], name


result = read_bytes(sys.argv[1])
expect_the_same_of_safetensors(sys.argv[1], result)
json.dump(result, sys.stdout)
