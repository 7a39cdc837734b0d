#!/usr/bin/env python3
"""An independent forward pass and LoRA trainer for models of the LLaMA family, in PyTorch.

Written from the definitions, without Hugging Face code, to check Equipoise against; needs only
Debian's python3-torch and python3-numpy. Reads a Hugging Face folder (config.json, *.safetensors)
and prints one JSON object.

Five likeliest next tokens after a prompt:

    lora_training.py MODEL logits --tokens 1,80,147,201,282,57

The likeliest continuation of each prompt, every token by a forward pass over all before it:

    lora_training.py MODEL generate --tokens 1,80,147,201,282,57 --tokens 1,84 --count 32

Perplexity in consecutive windows, every token but a window's first scored (float64 by default);
TOKENS is a JSON array of token ids:

    lora_training.py MODEL perplexity --tokens TOKENS.json --window 512

Training losses and gradient norms (before clipping) of AdamW on the adapter, one step per batch:

    lora_training.py MODEL train --adapter ADAPTER.safetensors --batches BATCHES.json \\
        --scale 1 --lr 2e-4 --clip 1 [--base DEQUANTIZED.safetensors] [--dtype float64] \\
        [--pool 2 --repeat 2] [--save TRAINED.safetensors]

BATCHES is a JSON array with one object per step: {"tokens": [[...], ...], "targets": [[...], ...],
"lr": ...}. Rows may differ in length. "targets" has a 1 for each token to learn and may be absent
(all but a row's first are); "lr" overrides --lr. ADAPTER holds ...layers.<i>.<module>.lora_A.weight
[r, inputs / pool] and .lora_B.weight [outputs / repeat, r], with any prefix. Tensors of --base and
--adapter replace those of MODEL that have the same name, so that a quantized base can be trained on:
give its dequantized weights.
"""

import argparse
import json
import math
import pathlib
import re
import struct
import sys

import numpy
import torch

MODULES = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)


def read_safetensors(path):
    """Tensors of a file by name, as float64 arrays."""
    data = pathlib.Path(path).read_bytes()
    (header_bytes,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + header_bytes])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        raw = data[start:end]
        if entry["dtype"] == "BF16":
            words = numpy.frombuffer(raw, "<u2").astype("<u4") << 16
            values = words.view("<f4")
        elif entry["dtype"] in ("F16", "F32", "F64"):
            values = numpy.frombuffer(raw, "<f" + str(int(entry["dtype"][1:]) // 8))
        else:
            raise SystemExit(f"{path}: tensor {name} is {entry['dtype']}")
        tensors[name] = values.astype("f8").reshape(entry["shape"])
    return tensors


def write_safetensors(path, tensors):
    """Writes float32 tensors."""
    header, blobs, offset = {}, [], 0
    for name, tensor in tensors.items():
        blob = tensor.detach().numpy().astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)],
        }
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Model:
    """Weights by Hugging Face name, and the forward pass on rows of token ids."""

    def __init__(self, folder, dtype, base=None, adapter=None, scale=1.0, pool=1, repeat=1):
        folder = pathlib.Path(folder)
        self.config = json.loads((folder / "config.json").read_text())
        if self.config.get("rope_scaling"):
            raise SystemExit("rope_scaling is not implemented in this oracle")
        self.dtype = dtype
        self.weights = {}
        for path in [*sorted(folder.glob("*.safetensors")), *([base] if base else [])]:
            for name, values in read_safetensors(path).items():
                self.weights[name] = torch.tensor(values, dtype=dtype)
        # Tied models may store only one of the two matrices.
        names = "model.embed_tokens.weight", "lm_head.weight"
        self.embedding = self.weights.get(names[0], self.weights.get(names[1]))
        tied = self.config.get("tie_word_embeddings") or names[1] not in self.weights
        self.head = self.embedding if tied else self.weights[names[1]]
        self.adapter, self.adapter_names = {}, {}
        self.scale, self.pool, self.repeat = scale, pool, repeat
        if adapter:
            for name, values in read_safetensors(adapter).items():
                match = re.search(r"(layers\.\d+\.[\w.]+)\.lora_([AB])(\.default)?\.weight$", name)
                if match is None or match[1].split(".", 2)[2] not in MODULES:
                    raise SystemExit(f"{adapter}: {name} is no LoRA factor")
                key = match[1], match[2]
                self.adapter[key] = torch.tensor(values, dtype=dtype).requires_grad_()
                self.adapter_names[key] = name

    def linear(self, values, path):
        weight = self.weights[f"model.{path}.weight"]
        output = values @ weight.T
        bias = self.weights.get(f"model.{path}.bias")
        if bias is not None:
            output = output + bias
        if (path, "A") in self.adapter:
            pooled = values.reshape(*values.shape[:-1], -1, self.pool).mean(-1)
            hidden = pooled @ self.adapter[path, "A"].T
            product = hidden @ self.adapter[path, "B"].T
            output = output + self.scale * product.repeat_interleave(self.repeat, -1)
        return output

    def norm(self, values, path):
        mean_square = values.pow(2).mean(-1, keepdim=True)
        return values / torch.sqrt(mean_square + self.config["rms_norm_eps"]) * self.weights[path]

    def rotate(self, values):
        """Rotary embedding of [rows, length, heads, head_dim], feature i paired with i + d/2."""
        length, dimension = values.shape[1], values.shape[-1]
        exponents = torch.arange(0, dimension, 2, dtype=torch.float64) / dimension
        frequencies = self.config.get("rope_theta", 10000.0) ** -exponents
        angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
        cosines = torch.cos(angles).to(self.dtype)[:, None, :]
        sines = torch.sin(angles).to(self.dtype)[:, None, :]
        first, second = values[..., :dimension // 2], values[..., dimension // 2:]
        return torch.cat([first * cosines - second * sines, second * cosines + first * sines], -1)

    def attention(self, values, path):
        rows, length, _ = values.shape
        heads = self.config["num_attention_heads"]
        kv_heads = self.config.get("num_key_value_heads", heads)
        dimension = self.config.get("head_dim") or self.config["hidden_size"] // heads
        queries = self.linear(values, f"{path}.q_proj").reshape(rows, length, heads, dimension)
        keys = self.linear(values, f"{path}.k_proj").reshape(rows, length, kv_heads, dimension)
        content = self.linear(values, f"{path}.v_proj").reshape(rows, length, kv_heads, dimension)
        if f"model.{path}.q_norm.weight" in self.weights:
            queries = self.norm(queries, f"model.{path}.q_norm.weight")
            keys = self.norm(keys, f"model.{path}.k_norm.weight")
        queries, keys = self.rotate(queries), self.rotate(keys)
        keys = keys.repeat_interleave(heads // kv_heads, 2)
        content = content.repeat_interleave(heads // kv_heads, 2)
        scores = torch.einsum("rqhd,rkhd->rhqk", queries, keys) / math.sqrt(dimension)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        shares = torch.softmax(scores.masked_fill(future, -math.inf), -1)
        mixed = torch.einsum("rhqk,rkhd->rqhd", shares, content)
        return self.linear(mixed.reshape(rows, length, heads * dimension), f"{path}.o_proj")

    def mlp(self, values, path):
        gate = self.linear(values, f"{path}.gate_proj")
        up = self.linear(values, f"{path}.up_proj")
        return self.linear(gate * torch.sigmoid(gate) * up, f"{path}.down_proj")

    def logits(self, tokens):
        """[rows, length, vocabulary] of [rows, length] token ids."""
        values = self.embedding[tokens]
        for layer in range(self.config["num_hidden_layers"]):
            path = f"layers.{layer}"
            normed = self.norm(values, f"model.{path}.input_layernorm.weight")
            values = values + self.attention(normed, f"{path}.self_attn")
            normed = self.norm(values, f"model.{path}.post_attention_layernorm.weight")
            values = values + self.mlp(normed, f"{path}.mlp")
        return self.norm(values, "model.norm.weight") @ self.head.T

    def losses(self, row):
        """-log p of every token of a row but its first."""
        tokens = torch.tensor([row])
        logs = torch.log_softmax(self.logits(tokens)[0, :-1], -1)
        return -logs.gather(1, tokens[0, 1:, None])[:, 0]


def top_logits(model, arguments):
    tokens = [int(token) for token in arguments.tokens.split(",")]
    with torch.no_grad():
        values, ids = model.logits(torch.tensor([tokens]))[0, -1].topk(5)
    return {"ids": ids.tolist(), "logits": values.tolist()}


def generate(model, arguments):
    continuations = []
    for prompt in arguments.tokens:
        tokens = [int(token) for token in prompt.split(",")]
        with torch.no_grad():
            for _ in range(arguments.count):
                tokens.append(model.logits(torch.tensor([tokens]))[0, -1].argmax().item())
        continuations.append(tokens[-arguments.count:])
    return {"tokens": continuations}


def perplexity(model, arguments):
    tokens = json.loads(pathlib.Path(arguments.tokens).read_text())
    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(tokens), arguments.window):
            window = tokens[start:start + arguments.window]
            if len(window) > 1:
                total += model.losses(window).double().sum().item()
                count += len(window) - 1
    mean = total / count
    return {"perplexity": math.exp(mean), "mean_loss": mean, "tokens": count}


def train(model, arguments):
    parameters = list(model.adapter.values())
    optimizer = torch.optim.AdamW(
        parameters, lr=arguments.lr, betas=(0.9, 0.999), eps=1e-8,
        weight_decay=arguments.weight_decay,
    )
    losses, norms = [], []
    for batch in json.loads(pathlib.Path(arguments.batches).read_text()):
        rows = batch["tokens"]
        targets = batch.get("targets", [[1] * len(row) for row in rows])
        total, count = 0.0, 0
        for row, mask in zip(rows, targets):
            mask = torch.tensor(mask[1:], dtype=model.dtype)
            total = total + (model.losses(row) * mask).sum()
            count += int(mask.sum().item())
        loss = total / count
        optimizer.zero_grad()
        loss.backward()
        clip = math.inf if arguments.clip is None else arguments.clip
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, clip).item())
        for group in optimizer.param_groups:
            group["lr"] = batch.get("lr", arguments.lr)
        optimizer.step()
        losses.append(loss.item())
    if arguments.save:
        names = model.adapter_names
        write_safetensors(arguments.save, {names[key]: value for key, value in model.adapter.items()})
    return {"losses": losses, "gradient_norms": norms}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", help="Hugging Face folder")
    modes = parser.add_subparsers(dest="mode", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--base", help="safetensors whose tensors replace the model's")
    shared.add_argument("--adapter", help="safetensors with LoRA factors")
    shared.add_argument("--scale", type=float, default=1.0, help="alpha / r")
    shared.add_argument("--pool", type=int, default=1)
    shared.add_argument("--repeat", type=int, default=1)
    shared.add_argument("--dtype", choices=("float32", "float64"))
    mode = modes.add_parser("logits", parents=[shared])
    mode.add_argument("--tokens", required=True, help="comma-separated ids")
    mode.set_defaults(run=top_logits, default_dtype="float64")
    mode = modes.add_parser("generate", parents=[shared])
    mode.add_argument("--tokens", required=True, action="append", help="comma-separated ids")
    mode.add_argument("--count", type=int, required=True)
    mode.set_defaults(run=generate, default_dtype="float64")
    mode = modes.add_parser("perplexity", parents=[shared])
    mode.add_argument("--tokens", required=True, help="JSON file with an array of ids")
    mode.add_argument("--window", type=int, default=512)
    mode.set_defaults(run=perplexity, default_dtype="float64")
    mode = modes.add_parser("train", parents=[shared])
    mode.add_argument("--batches", required=True)
    mode.add_argument("--lr", type=float, required=True)
    mode.add_argument("--clip", type=float, help="largest gradient norm; default: no clipping")
    mode.add_argument("--weight-decay", type=float, default=0.0)
    mode.add_argument("--save", help="where to write the trained factors")
    mode.set_defaults(run=train, default_dtype="float32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Model(
        arguments.model, getattr(torch, arguments.dtype or arguments.default_dtype),
        arguments.base, arguments.adapter, arguments.scale, arguments.pool, arguments.repeat,
    )
    if arguments.mode == "train" and not model.adapter:
        parser.error("train needs --adapter")
    json.dump(arguments.run(model, arguments), sys.stdout)
    print()


if __name__ == "__main__":
    main()
