"""Inputs of the linear layers of a LLaMA-family model, in float64, with NumPy alone.

    activations.py TOKENS FOLDER...

TOKENS is a JSON list of rows of token ids, all of one length. For every folder (Hugging Face layout,
F32 safetensors in one file) it prints one line of JSON: for every block the Gram matrices (the mean
over tokens of x x^T) of the inputs of q_proj, o_proj, gate_proj and down_proj.
"""

import json
import struct
import sys

import numpy as np


def read_tensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32", entry
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], dtype="<f4").astype(np.float64)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def rms_norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def rotate(x, theta):
    """x [rows, length, heads, size]; pairs feature i with i + size / 2."""
    length, size = x.shape[1], x.shape[3]
    frequencies = theta ** (-2.0 * np.arange(size // 2) / size)
    angles = np.arange(length)[:, None] * frequencies[None, :]
    cos, sin = np.cos(angles)[None, :, None, :], np.sin(angles)[None, :, None, :]
    low, high = x[..., : size // 2], x[..., size // 2 :]
    return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)


def attend(q, k, v):
    """q [rows, length, heads, size], k and v with fewer heads: causal, grouped queries."""
    rows, length, heads, size = q.shape
    group = heads // k.shape[2]
    output = np.zeros_like(q)
    hidden = np.triu(np.ones((length, length), dtype=bool), 1)
    for head in range(heads):
        scores = q[:, :, head] @ k[:, :, head // group].transpose(0, 2, 1) / np.sqrt(size)
        scores[:, hidden] = -np.inf
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        output[:, :, head] = weights @ v[:, :, head // group]
    return output.reshape(rows, length, heads * size)


def gram(x):
    flat = x.reshape(-1, x.shape[-1])
    return (flat.T @ flat / flat.shape[0]).tolist()


def block_grams(folder, tokens):
    config = json.load(open(f"{folder}/config.json"))
    tensors = read_tensors(f"{folder}/model.safetensors")
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads", heads)
    size = config.get("head_dim", config["hidden_size"] // heads)
    epsilon, theta = config["rms_norm_eps"], config.get("rope_theta", 10000.0)
    embedding = tensors.get("model.embed_tokens.weight")
    x = (tensors["lm_head.weight"] if embedding is None else embedding)[tokens]
    rows, length = tokens.shape
    found = []
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        at = lambda name: tensors[f"{prefix}{name}"]

        def linear(name, value):
            bias = tensors.get(f"{prefix}{name}.bias")
            output = value @ at(f"{name}.weight").T
            return output if bias is None else output + bias

        normed = rms_norm(x, at("input_layernorm.weight"), epsilon)
        q = linear("self_attn.q_proj", normed).reshape(rows, length, heads, size)
        k = linear("self_attn.k_proj", normed).reshape(rows, length, groups, size)
        v = linear("self_attn.v_proj", normed).reshape(rows, length, groups, size)
        if f"{prefix}self_attn.q_norm.weight" in tensors:
            q = rms_norm(q, at("self_attn.q_norm.weight"), epsilon)
            k = rms_norm(k, at("self_attn.k_norm.weight"), epsilon)
        attended = attend(rotate(q, theta), rotate(k, theta), v)
        x = x + linear("self_attn.o_proj", attended)
        middle = rms_norm(x, at("post_attention_layernorm.weight"), epsilon)
        gate = linear("mlp.gate_proj", middle)
        activated = gate / (1 + np.exp(-gate)) * linear("mlp.up_proj", middle)
        x = x + linear("mlp.down_proj", activated)
        found.append([gram(normed), gram(attended), gram(middle), gram(activated)])
    return found


if __name__ == "__main__":
    ids = np.array(json.load(open(sys.argv[1])))
    for path in sys.argv[2:]:
        print(json.dumps(block_grams(path, ids)))
