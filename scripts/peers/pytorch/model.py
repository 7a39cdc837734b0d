"""A LLaMA-family model with LoRA, as a careful PyTorch user writes it: no framework above PyTorch.

Runs on PyTorch 1.13 (Debian 12) and later; what later versions do better (fused attention, fused
AdamW) is used where it exists.
"""

import json
import math
import pathlib
import struct

import torch
from torch import nn
from torch.nn import functional

MODULES = (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
)

FUSED_ATTENTION = hasattr(functional, "scaled_dot_product_attention")


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained product of rank `rank` beside it, alpha = rank."""

    def __init__(self, base, rank):
        super().__init__()
        self.base = base
        options = {"device": base.weight.device, "dtype": torch.float32}
        self.a = nn.Parameter(torch.empty(rank, base.in_features, **options))
        self.b = nn.Parameter(torch.zeros(base.out_features, rank, **options))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, values):
        hidden = functional.linear(values, self.a.to(values.dtype))
        return self.base(values) + functional.linear(hidden, self.b.to(values.dtype))


class RmsNorm(nn.Module):
    def __init__(self, size, epsilon):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, values):
        scale = torch.rsqrt(values.float().pow(2).mean(-1, keepdim=True) + self.epsilon)
        return values * scale.to(values.dtype) * self.weight.to(values.dtype)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        size = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads", self.heads)
        self.width = config.get("head_dim", size // self.heads)
        self.q_proj = nn.Linear(size, self.heads * self.width, bias=False)
        self.k_proj = nn.Linear(size, self.kv_heads * self.width, bias=False)
        self.v_proj = nn.Linear(size, self.kv_heads * self.width, bias=False)
        self.o_proj = nn.Linear(self.heads * self.width, size, bias=False)

    def forward(self, values, cosines, sines, mask):
        batch, length, _ = values.shape

        def split(projected, heads):
            return projected.view(batch, length, heads, self.width).transpose(1, 2)

        queries = rotate(split(self.q_proj(values), self.heads), cosines, sines)
        keys = rotate(split(self.k_proj(values), self.kv_heads), cosines, sines)
        content = split(self.v_proj(values), self.kv_heads)
        if self.kv_heads != self.heads:
            keys = keys.repeat_interleave(self.heads // self.kv_heads, 1)
            content = content.repeat_interleave(self.heads // self.kv_heads, 1)
        if FUSED_ATTENTION:
            mixed = functional.scaled_dot_product_attention(
                queries, keys, content, is_causal=True,
            )
        else:
            # One batched product with scale and mask in it, in place of three passes over scores.
            flat = (batch * self.heads, length, self.width)
            scores = torch.baddbmm(
                mask, queries.reshape(flat), keys.reshape(flat).transpose(1, 2),
                alpha=1 / math.sqrt(self.width),
            )
            mixed = torch.bmm(torch.softmax(scores, -1), content.reshape(flat))
            mixed = mixed.view(batch, self.heads, length, self.width)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


def rotate(values, cosines, sines):
    """Rotary embedding of [batch, heads, length, width], feature i paired with i + width / 2."""
    first, second = values.chunk(2, -1)
    return values * cosines + torch.cat((-second, first), -1) * sines


class Mlp(nn.Module):
    def __init__(self, config):
        super().__init__()
        size, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def forward(self, values):
        return self.down_proj(functional.silu(self.gate_proj(values)) * self.up_proj(values))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        size, epsilon = config["hidden_size"], config.get("rms_norm_eps", 1e-6)
        self.input_layernorm = RmsNorm(size, epsilon)
        self.self_attn = Attention(config)
        self.post_attention_layernorm = RmsNorm(size, epsilon)
        self.mlp = Mlp(config)

    def forward(self, values, *position):
        values = values + self.self_attn(self.input_layernorm(values), *position)
        return values + self.mlp(self.post_attention_layernorm(values))


class Model(nn.Module):
    """Module names are those of Hugging Face, without the leading "model."."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        size, vocabulary = config["hidden_size"], config["vocab_size"]
        self.embed_tokens = nn.Embedding(vocabulary, size)
        self.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = RmsNorm(size, config.get("rms_norm_eps", 1e-6))
        self.lm_head = nn.Linear(size, vocabulary, bias=False)
        if config.get("tie_word_embeddings", False):
            self.lm_head.weight = self.embed_tokens.weight
        self.position = {}

    def loss(self, tokens):
        """Mean of -log p over every token of a row but its first."""
        logits = self.lm_head(self.hidden(tokens))
        # The last position of a row has no target: ignored, which spares a copy of the logits.
        targets = torch.full_like(tokens, -100)
        targets[:, :-1] = tokens[:, 1:]
        return functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())

    def hidden(self, tokens):
        values = self.embed_tokens(tokens)
        position = self.tables(*tokens.shape, values)
        for layer in self.layers:
            values = layer(values, *position)
        return self.norm(values)

    def tables(self, batch, length, values):
        """Cosines, sines and the causal mask, made once for each length."""
        key = length, values.dtype, values.device
        if key not in self.position:
            config = self.config
            width = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
            exponents = torch.arange(0, width, 2, device=values.device).float() / width
            frequencies = config.get("rope_theta", 10000.0) ** -exponents
            angles = torch.outer(torch.arange(length, device=values.device).float(), frequencies)
            angles = torch.cat((angles, angles), -1)
            mask = None if FUSED_ATTENTION else torch.full((length, length), -math.inf).triu(1)
            self.position[key] = (
                angles.cos().to(values.dtype), angles.sin().to(values.dtype), mask,
            )
        return self.position[key]

    def initialize(self, seed=0):
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.02)

    def load(self, folder):
        """Reads a Hugging Face folder."""
        tensors = {}
        for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
            tensors.update(read_safetensors(path))
        embedding, head = "model.embed_tokens.weight", "lm_head.weight"
        tensors.setdefault(embedding, tensors.get(head))
        tensors.setdefault(head, tensors[embedding])
        with torch.no_grad():
            for name, parameter in self.state_dict().items():
                parameter.copy_(tensors[name if name == head else f"model.{name}"])

    def add_lora(self, rank):
        """Freezes everything and puts a LoRA on all seven linear layers of every block."""
        self.requires_grad_(False)
        for layer in self.layers:
            for path in MODULES:
                parent_name, name = path.split(".")
                parent = getattr(layer, parent_name)
                setattr(parent, name, LoraLinear(getattr(parent, name), rank))


def read_safetensors(path):
    """Tensors of a file by name, in their own types."""
    types = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    data = bytearray(pathlib.Path(path).read_bytes())
    (size,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            part = memoryview(data)[8 + size + start:8 + size + end]
            values = torch.frombuffer(part, dtype=types[entry["dtype"]])
            tensors[name] = values.view(entry["shape"])
    return tensors


class Trainer:
    """AdamW with clipping on what `model` trains; a call of `step` is one optimizer step."""

    def __init__(self, model):
        self.model = model
        self.parameters = [value for value in model.parameters() if value.requires_grad]
        options = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
        if self.parameters[0].is_cuda:
            options["fused"] = True
        else:
            options["foreach"] = True
        self.optimizer = torch.optim.AdamW(self.parameters, **options)

    def step(self, tokens):
        loss = self.model.loss(tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss
