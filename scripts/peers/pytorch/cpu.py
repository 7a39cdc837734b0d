#!/usr/bin/env python3
"""PyTorch on the CPU as a peer; see serve.py.

    cpu.py [--threads N]

Needs PyTorch: Debian's python3-torch with libopenblas0-pthread, or a wheel.
"""

import argparse
import ctypes
import ctypes.util
import os

parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
)
parser.add_argument("--threads", type=int, default=1)
arguments = parser.parse_args()
# OpenBLAS and OpenMP read these when they are loaded, which importing PyTorch does.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(arguments.threads)
# Threads that spin while they wait starve each other on a machine that does anything else, up to
# thirtyfold; threads that sleep cost little on a quiet one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch  # noqa: E402

from serve import serve  # noqa: E402
from workloads import prepare  # noqa: E402


def describe():
    return {"version": f"PyTorch {torch.__version__}, {blas()}"}


def blas():
    """The BLAS of this process; OpenBLAS says which kernels it chose."""
    if torch.backends.mkl.is_available():
        return "MKL"
    name = ctypes.util.find_library("openblas")
    if name is None:
        return "BLAS unknown"
    configuration = ctypes.CDLL(name).openblas_get_config
    configuration.restype = ctypes.c_char_p
    return configuration().decode().strip()


torch.set_num_threads(arguments.threads)
serve(describe, prepare)
