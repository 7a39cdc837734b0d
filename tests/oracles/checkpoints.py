#!/usr/bin/env python3
"""Quantized checkpoints of a model folder, packed bit by bit, and the same model dequantized.

Written from descriptions of the formats, without the code of AutoGPTQ, GPTQModel or bitsandbytes, to
check Equipoise against; needs only Debian's python3-numpy. Called with a request and a folder,

    checkpoints.py REQUEST.json OUT

it writes OUT/checkpoint, a copy of the model at `source` whose linear layers are quantized, and
OUT/dense, the same with the weights that those codes stand for, in float32. The request is

    {"source": MODEL, "method": "gptq", "bits": 4, "group_size": 128, "sym": true, "desc_act": false,
     "checkpoint_format": "gptq", "seed": 1, "config_file": "config.json"}

with random codes, scales and zero points, or

    {"source": MODEL, "method": "nf4", "nested": true, "seed": 1}

Of a GPTQ checkpoint it writes OUT/dense.safetensors, the weights of its layers in float32:

    {"source": CHECKPOINT, "method": "read"}
"""

import json
import pathlib
import shutil
import struct
import sys

import numpy

NAMES = {"float32": "F32", "float16": "F16", "int32": "I32", "uint8": "U8"}
TYPES = {name: numpy.dtype(dtype) for dtype, name in NAMES.items()}

NF4 = numpy.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
], dtype=numpy.float32)


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        array = numpy.frombuffer(data[begin:end], TYPES[entry["dtype"]])
        tensors[name] = array.reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, array in tensors.items():
        raw = numpy.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": NAMES[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def pack(values, bits):
    """Rows of `bits`-wide values, each as a stream of bits, lowest first, in int32 words."""
    fields = (values[..., None] >> numpy.arange(bits)) & 1
    rows = fields.reshape(len(values), -1).astype(numpy.uint8)
    return numpy.packbits(rows, axis=1, bitorder="little").view("<i4")


def unpack(words, bits):
    """The inverse of pack()."""
    rows = numpy.ascontiguousarray(words).view(numpy.uint8)
    fields = numpy.unpackbits(rows, axis=1, bitorder="little").reshape(len(words), -1, bits)
    return (fields * (1 << numpy.arange(bits))).sum(axis=2)


def read_gptq(source, out):
    config = json.loads((source / "quantize_config.json").read_text())
    assert config == json.loads((source / "config.json").read_text())["quantization_config"]
    bits = config["bits"]
    tensors = read_safetensors(source / "model.safetensors")
    dense = {}
    for path in (name[:-len(".qweight")] for name in tensors if name.endswith(".qweight")):
        codes = unpack(tensors[f"{path}.qweight"].T, bits)
        zeros = unpack(tensors[f"{path}.qzeros"], bits)
        if config["checkpoint_format"] == "gptq":
            zeros = (zeros + 1) % 2 ** bits
        groups = tensors[f"{path}.g_idx"]
        steps = (codes.T - zeros[groups]).astype(numpy.float32)
        dense[path] = (tensors[f"{path}.scales"].astype(numpy.float32)[groups] * steps).T
    write_safetensors(out / "dense.safetensors", dense)


def gptq_layer(path, weight, request, random):
    rows, columns = weight.shape
    bits, size = request["bits"], request["group_size"]
    size = columns if size == -1 else min(size, columns)
    top = 2 ** bits - 1
    codes = random.integers(0, top + 1, (rows, columns))
    scales = random.uniform(0.004, 0.02, (rows, columns // size)).astype(numpy.float16)
    zeros = random.integers(0, top + 1, scales.shape)
    if request["sym"]:
        zeros[:] = 2 ** (bits - 1)
    groups = numpy.arange(columns) // size
    if request["desc_act"]:
        groups = groups[random.permutation(columns)]
    stored = zeros if request["checkpoint_format"] == "gptq_v2" else (zeros - 1) % (top + 1)
    tensors = {
        f"{path}.qweight": pack(codes, bits).T,
        f"{path}.qzeros": pack(stored.T, bits),
        f"{path}.scales": scales.T,
        f"{path}.g_idx": groups.astype(numpy.int32),
    }
    steps = (codes - zeros[:, groups]).astype(numpy.float32)
    return tensors, scales[:, groups].astype(numpy.float32) * steps


def dynamic_map():
    values = [0.0, 1.0]
    for decade in range(7):
        edges = numpy.linspace(0.1, 1, 2 ** decade + 1, dtype=numpy.float32)
        centres = (edges[:-1] + edges[1:]) / 2 * numpy.float32(10.0 ** (decade - 6))
        values += [*centres, *-centres]
    return numpy.sort(numpy.array(values, dtype=numpy.float32))


def nearest(values, levels):
    return numpy.abs(values[:, None] - levels).argmin(axis=1).astype(numpy.uint8)


def nf4_layer(path, weight, request, random):
    rows, columns = weight.shape
    blocks = weight.reshape(-1, 64)
    absmax = numpy.abs(blocks).max(axis=1)
    codes = nearest((blocks / absmax[:, None]).ravel(), NF4)
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [rows, columns]}
    name = f"{path}.weight"
    tensors = {
        name: (codes[0::2] << 4 | codes[1::2])[:, None],
        f"{name}.quant_map": NF4,
    }
    if request["nested"]:
        levels, offset = dynamic_map(), absmax.mean()
        maxima, restored, fields = [], [], []
        for start in range(0, len(absmax), 256):
            part = absmax[start:start + 256] - offset
            largest = numpy.abs(part).max()
            field = nearest(part / largest, levels)
            maxima.append(largest)
            fields.append(field)
            restored.append(levels[field] * largest + offset)
        tensors[f"{name}.absmax"] = numpy.concatenate(fields)
        tensors[f"{name}.nested_absmax"] = numpy.array(maxima, dtype=numpy.float32)
        tensors[f"{name}.nested_quant_map"] = levels
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": float(offset)}
        absmax = numpy.concatenate(restored)
    else:
        tensors[f"{name}.absmax"] = absmax
    text = numpy.frombuffer(json.dumps(state).encode(), numpy.uint8)
    tensors[f"{name}.quant_state.bitsandbytes__nf4"] = text
    return tensors, (NF4[codes].reshape(-1, 64) * absmax[:, None]).reshape(rows, columns)


def configuration(request):
    if request["method"] == "nf4":
        return {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
                "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": request["nested"],
                "bnb_4bit_compute_dtype": "float16", "bnb_4bit_quant_storage": "uint8"}
    keys = ("bits", "group_size", "sym", "desc_act", "checkpoint_format")
    return {**{key: request[key] for key in keys}, "quant_method": "gptq", "lm_head": False,
            "damp_percent": 0.01, "true_sequential": True, "pack_dtype": "int32"}


def main(request, out):
    source, out = pathlib.Path(request["source"]), pathlib.Path(out)
    if request["method"] == "read":
        read_gptq(source, out)
        return
    random = numpy.random.default_rng(request["seed"])
    layer = gptq_layer if request["method"] == "gptq" else nf4_layer
    checkpoint, dense = {}, {}
    for name, tensor in read_safetensors(source / "model.safetensors").items():
        checkpoint[name] = dense[name] = tensor
        if "_proj.weight" in name:
            del checkpoint[name]
            tensors, dense[name] = layer(name[:-len(".weight")], tensor, request, random)
            checkpoint |= tensors
    config = json.loads((source / "config.json").read_text())
    quantization = configuration(request)
    for folder, tensors in (("checkpoint", checkpoint), ("dense", dense)):
        (out / folder).mkdir()
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / file, out / folder)
        write_safetensors(out / folder / "model.safetensors", tensors)
        text = json.dumps(config)
        if folder == "checkpoint" and request.get("config_file") == "quantize_config.json":
            del quantization["quant_method"]
            (out / folder / "quantize_config.json").write_text(json.dumps(quantization))
        elif folder == "checkpoint":
            text = json.dumps(config | {"quantization_config": quantization})
        (out / folder / "config.json").write_text(text)


main(json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2])
