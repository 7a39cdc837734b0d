#!/usr/bin/env python3
"""PyTorch on an NVIDIA GPU as a peer; see serve.py.

    gpu.py [--dtype f32|bf16] [--peft]

f32 keeps tensor cores out (no TF32), as our kernels do; bf16 is what fine-tuning on such a GPU uses.
With --peft, LoRA training runs through Hugging Face transformers and PEFT in place of our own model.
Products with 4-bit weights are torch._weight_int4pack_mm, whatever --dtype says.
"""

import argparse
import sys

import torch

import workloads
from serve import serve

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
)
parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
parser.add_argument("--peft", action="store_true")
arguments = parser.parse_args()
if not torch.cuda.is_available():
    sys.exit(f"PyTorch {torch.__version__} finds no CUDA GPU: install its CUDA wheel and a driver")
DTYPE = {"f32": torch.float32, "bf16": torch.bfloat16}[arguments.dtype]
torch.backends.cuda.matmul.allow_tf32 = False


def describe():
    versions = [f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"]
    if arguments.peft:
        import peft
        import transformers
        versions += [f"PEFT {peft.__version__}, transformers {transformers.__version__}"]
    versions += [torch.cuda.get_device_name(), arguments.dtype]
    return {"version": ", ".join(versions)}


def prepare(workload):
    if not arguments.peft:
        return workloads.prepare(workload, "cuda", DTYPE)
    if workload["kind"] != "train" or workload["method"] != "lora":
        raise workloads.Unsupported("PEFT is compared on LoRA training only")
    return peft_training(workload)


def peft_training(workload):
    try:
        from peft import LoraConfig, get_peft_model
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError as error:
        raise workloads.Unsupported(f"{error}: run pip install peft transformers") from error
    rank = workload["rank"]
    names = [path.split(".")[1] for path in workloads.MODULES]
    lora = LoraConfig(r=rank, lora_alpha=rank, target_modules=names, task_type="CAUSAL_LM")
    config = LlamaConfig(**workload["model"]["config"], attn_implementation="sdpa", use_cache=False)
    with torch.device("cuda"):
        model = LlamaForCausalLM(config).to(DTYPE)
    model = get_peft_model(model, lora).train()
    tokens = workloads.rows_of(workload, "cuda")
    model.loss = lambda rows: model(input_ids=rows, labels=rows).loss
    trainer = workloads.Trainer(model)
    return workloads.Job(lambda: trainer.step(tokens), note=f"{arguments.dtype} base")


serve(describe, prepare, torch.cuda.synchronize)
