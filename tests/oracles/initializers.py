#!/usr/bin/env python3
"""Adapter initializations from their definitions, in NumPy and SciPy with float64.

Written from the papers' formulas with explicit matrices and other algorithms than Equipoise's (roots
of the Gram matrix instead of eigenvectors of a product, indicator matrices instead of means), to
check Equipoise against. Numbers travel as raw little-endian files: f4, f8 or u1, row-major.

The cases of a request; writes FOLDER/<case>.update.f8, the value added to each tile of the weight,
and FOLDER/<case>.codes.u1, the codes of the base, and prints one JSON object with the calibrated
errors {"<case>": {"before": ..., "after": ...}}, relative to tr(W H W^T):

    initializers.py REQUEST.json FOLDER

A request is {"cases": [{"name", "method": "loftq" | "quailora" | "cloq", "iterations", "weights":
FILE.f4, "gram": FILE.f8, "rows", "columns", "bits", "block_rows", "group_size", "pool", "repeat",
"rank": INTEGER | null (no rank constraint)}, ...]}.
"""

import json
import pathlib
import sys

import numpy
import scipy.linalg

RIDGE = 1e-8
"""Of a pooled Gram matrix, relative to its mean diagonal."""


def quantize(weights, case):
    """Codes and values of asymmetric round to nearest; scales and values are float32."""
    rows, columns = case["block_rows"], case["group_size"]
    top = 2 ** case["bits"] - 1
    blocks = numpy.float32(weights).astype("f8").reshape(
        case["rows"] // rows, rows, case["columns"] // columns, columns)
    low = numpy.minimum(blocks.min((1, 3), keepdims=True), 0)
    high = numpy.maximum(blocks.max((1, 3), keepdims=True), 0)
    scale = ((high - low) / top).astype("f4").astype("f8")
    zero = numpy.round(-low / scale)
    codes = numpy.clip(numpy.round(blocks / scale) + zero, 0, top)
    values = (scale * (codes - zero)).astype("f4").astype("f8")
    return codes.reshape(weights.shape).astype("u1"), values.reshape(weights.shape)


def indicator(size, width):
    """[size, size / width]: 1 where a feature belongs to a pool."""
    return numpy.kron(numpy.eye(size // width), numpy.ones((width, 1)))


def truncated(matrix, rank):
    """The nearest matrix of a rank; all of it where there is no constraint."""
    left, values, right = numpy.linalg.svd(matrix, full_matrices=False)
    return (left[:, :rank] * values[:rank]) @ right[:rank]


def frobenius(error, outputs, inputs, rank):
    """LoftQ's step: the nearest update of this rank that is constant on tiles."""
    tiles = numpy.linalg.pinv(outputs) @ error @ numpy.linalg.pinv(inputs.T)
    return tiles if rank is None else truncated(tiles, rank)


def reduced(error, gram, outputs, inputs):
    """The unconstrained optimum over tiles, and the Gram matrix that it is optimal in."""
    means = numpy.linalg.pinv(outputs) @ error
    if inputs.shape[0] == inputs.shape[1]:
        return means, gram
    pooled = inputs.T @ gram @ inputs
    pooled = pooled + RIDGE * numpy.mean(numpy.diag(pooled)) * numpy.eye(len(pooled))
    return scipy.linalg.solve(pooled, inputs.T @ gram @ means.T, assume_a="pos").T, pooled


def cloq(error, gram, outputs, inputs, rank):
    """Reduced-rank regression by the root of the Gram matrix."""
    target, pooled = reduced(error, gram, outputs, inputs)
    if rank is None:
        return target
    values, vectors = scipy.linalg.eigh(pooled)
    root = (vectors * numpy.sqrt(values)) @ vectors.T
    return truncated(target @ root, rank) @ scipy.linalg.inv(root)


def quailora(error, gram, outputs, inputs, rank, rounds):
    """Alternating minimization from the truncated SVD of the error."""
    target, pooled = reduced(error, gram, outputs, inputs)
    start = numpy.linalg.pinv(outputs) @ error @ numpy.linalg.pinv(inputs.T)
    _, values, right = numpy.linalg.svd(start, full_matrices=False)
    a = numpy.sqrt(values[:rank, None]) * right[:rank]
    for _ in range(rounds):
        b = target @ pooled @ a.T @ scipy.linalg.inv(a @ pooled @ a.T)
        a = scipy.linalg.inv(b.T @ b) @ b.T @ target
    return b @ a


def norm(matrix, gram):
    return numpy.einsum("ij,jk,ik", matrix, gram, matrix, optimize=True)


def solve(case):
    shape = case["rows"], case["columns"]
    weights = numpy.fromfile(case["weights"], "<f4").astype("f8").reshape(shape)
    gram = numpy.fromfile(case["gram"], "<f8").reshape(shape[1], shape[1])
    outputs = indicator(shape[0], case["repeat"])
    inputs = indicator(shape[1], case["pool"])
    rank, method = case["rank"], case["method"]
    codes, base = quantize(weights, case)
    before = norm(weights - base, gram)
    if method == "quailora":
        update = quailora(weights - base, gram, outputs, inputs, rank, case["iterations"])
        after = norm(weights - base - outputs @ update @ inputs.T, gram)
    else:
        found = []
        for iteration in range(case["iterations"]):
            if iteration > 0:
                codes, base = quantize(weights - outputs @ update @ inputs.T, case)
            step = frobenius if method == "loftq" else cloq
            arguments = (outputs, inputs, rank) if method == "loftq" else (gram, outputs, inputs, rank)
            update = step(weights - base, *arguments)
            found.append((norm(weights - base - outputs @ update @ inputs.T, gram), update, codes))
        # CLoQ's alternation keeps the best pair, LoftQ's the last.
        best = found[-1] if method == "loftq" else min(found, key=lambda entry: entry[0])
        after, update, codes = best
    scale = norm(weights, gram)
    return update, codes, {"before": before / scale, "after": after / scale}


def main():
    request, folder = (pathlib.Path(argument) for argument in sys.argv[1:])
    errors = {}
    for case in json.loads(request.read_text())["cases"]:
        update, codes, errors[case["name"]] = solve(case)
        update.astype("<f8").tofile(folder / f"{case['name']}.update.f8")
        codes.tofile(folder / f"{case['name']}.codes.u1")
    print(json.dumps(errors))


if __name__ == "__main__":
    main()
