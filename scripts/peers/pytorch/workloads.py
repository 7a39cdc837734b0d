"""The workloads of scripts/peers/protocol.ts in PyTorch, on any device and in any type."""

import torch

from model import MODULES, Model, Trainer


def token_rows(batch, length, vocabulary):
    """The same tokens as on our side: Knuth's multiplicative hash of the position."""
    positions = torch.arange(batch * length, dtype=torch.int64)
    return ((positions * 2654435761 & 0xFFFFFFFF) >> 8).remainder(vocabulary).view(batch, length)


class Job:
    """Something to call over and over, and what its first call gave."""

    def __init__(self, call, value=None, note=""):
        self.call = call
        self.value = value
        self.note = note


class Unsupported(Exception):
    """This program cannot do that; the message says why."""


def prepare(workload, device="cpu", dtype=torch.float32):
    kind = workload["kind"]
    if kind == "linear":
        return linear(workload, device, dtype)
    if kind == "train":
        return train(workload, device, dtype)
    if kind == "evaluate":
        return evaluate(workload, device, dtype)
    raise Unsupported(f"the PyTorch script has no workload {kind}")


def linear(workload, device, dtype):
    tokens, inputs, outputs = workload["tokens"], workload["inputs"], workload["outputs"]
    torch.manual_seed(0)
    values = torch.randn(tokens, inputs, device=device, dtype=dtype)
    weight = torch.randn(outputs, inputs, device=device, dtype=dtype) * 0.02
    output = torch.empty(tokens, outputs, device=device, dtype=dtype)
    if workload["weight"] == "f32" and tokens == 1:
        # A matrix-vector product, which a product with a matrix of one row is not in every BLAS.
        vector, result = values[0], output[0]
        return Job(lambda: torch.mv(weight, vector, out=result))
    if workload["weight"] == "f32":
        transposed = weight.t()
        return Job(lambda: torch.mm(values, transposed, out=output))
    if not hasattr(torch, "_weight_int4pack_mm"):
        raise Unsupported(f"PyTorch {torch.__version__} has no product with 4-bit weights")
    return int4_linear(values, weight)


def int4_linear(values, weight, group=64):
    """torch._weight_int4pack_mm: bfloat16 activations, codes packed for tensor cores."""
    if not values.is_cuda:
        raise Unsupported("torch._weight_int4pack_mm is compared on GPUs only")
    outputs, inputs = weight.shape
    codes = torch.randint(0, 16, (outputs, inputs), dtype=torch.int32, device=values.device)
    packed_bytes = (codes[:, ::2] << 4 | codes[:, 1::2]).to(torch.uint8)
    packed = torch._convert_weight_to_int4pack(packed_bytes, 8)
    scales = torch.full(
        (inputs // group, outputs, 2), 0.01, dtype=torch.bfloat16, device=values.device,
    )
    activations = values.to(torch.bfloat16)
    return Job(
        lambda: torch._weight_int4pack_mm(activations, packed, group, scales),
        note="bf16 activations",
    )


def make_model(workload, device, dtype):
    config = workload["model"]["config"]
    model = Model(config)
    if workload["model"].get("folder"):
        model.load(workload["model"]["folder"])
    else:
        model.initialize()
    return model.to(device=device, dtype=dtype)


def rows_of(workload, device):
    vocabulary = workload["model"]["config"]["vocab_size"]
    return token_rows(workload["batch"], workload["length"], vocabulary).to(device)


def train(workload, device, dtype):
    model = make_model(workload, device, dtype)
    tokens = rows_of(workload, device)
    with torch.no_grad():
        value = model.loss(tokens).item()
    if workload["method"] == "lora":
        model.add_lora(workload["rank"])
    trainer = Trainer(model)
    # Debian's PyTorch has no 4-bit layers; bitsandbytes, which has, needs a GPU.
    note = f"{name_of(dtype)} base" if workload["method"] == "lora" else ""
    return Job(lambda: trainer.step(tokens), value, note)


def evaluate(workload, device, dtype):
    model = make_model(workload, device, dtype).requires_grad_(False).eval()
    tokens = rows_of(workload, device)

    def call():
        with torch.inference_mode():
            return model.loss(tokens)

    return Job(call, call().item(), f"{name_of(dtype)} weights")


def name_of(dtype):
    return {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]
