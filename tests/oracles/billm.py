#!/usr/bin/env python3
"""BiLLM from its paper and the description of its released code, in NumPy with float64.

Written with whole arrays and masks, where Equipoise goes row by row; the inverse Hessian is inverted and
then factored. Numbers travel as raw little-endian files f4, f8 or u1, row-major.

    billm.py REQUEST.json FOLDER

A request is {"cases": [CASE, ...]}, a case {"name", "weights": FILE.f4, "gram": FILE.f8, "rows",
"columns", "group_size", "salience": "hessian" | "magnitude", "rules": "code" | "paper",
"compensation": "diagonal" | "exact", "damping"}. It writes, into FOLDER, <name>.values.f8 (what became
of the weights), <name>.parts.u1 (0 concentrated, 1 sparse, 2 salient) and <name>.scales.f8
[rows, blocks, 7], the four scales and three means of each row and block.
"""

import json
import pathlib
import sys

import numpy


def signs(values):
    return numpy.where(values >= 0, 1.0, -1.0)


def residual(values, mask, rounds, means):
    """`rounds` binary terms of values[rows, n] where mask; total mean, scales and the sum of terms."""
    count = numpy.maximum(mask.sum(1, keepdims=True), 1)
    total = numpy.zeros_like(values)
    mean = numpy.zeros((len(values), 1))
    scales = []
    pattern = []
    for _ in range(rounds):
        left = (values - total) * mask
        center = left.sum(1, keepdims=True) / count if means else numpy.zeros((len(values), 1))
        scale = (numpy.abs(left - center) * mask).sum(1, keepdims=True) / count
        sign = signs(left - center)
        total = total + (center + scale * sign) * mask
        mean = mean + center
        scales.append(scale)
        pattern.append(sign)
    return total, mean, scales, pattern


def salient_columns(salience, searched, case):
    width = searched.shape[1]
    paper = case["rules"] == "paper"
    fewest, most = (3, 30) if paper else (1, 49)
    most = min(most, width - 1)
    rounds = 1 if paper else 2
    order = numpy.argsort(-numpy.abs(salience).sum(0), kind="stable")
    errors = []
    for count in range(min(fewest, most), most + 1):
        chosen = numpy.zeros(width, bool)
        chosen[order[:count]] = True
        mask = numpy.broadcast_to(chosen, searched.shape)
        both = (
            residual(searched, mask, rounds, not paper)[0]
            + residual(searched, ~mask, rounds, not paper)[0]
        )
        errors.append(((searched - both) ** 2).mean())
    count = min(fewest, most) + int(numpy.argmin(errors))
    chosen = numpy.zeros(width, bool)
    chosen[order[:count]] = True
    return chosen


def partition(salience, searched, case):
    paper = case["rules"] == "paper"
    chosen = salient_columns(salience, searched, case)
    salient = numpy.broadcast_to(chosen, searched.shape)
    size = numpy.abs(searched) * ~salient
    shares = [share / 100 for share in range(10, 91)]
    candidates = [share * size.max() for share in shares] if paper else numpy.quantile(size, shares)
    fixed = residual(searched, salient, 2, not paper)[0]
    errors = []
    for candidate in candidates:
        low = (numpy.abs(searched) < candidate) & ~salient
        high = (numpy.abs(searched) >= candidate) & ~salient
        total = (
            residual(searched, low, 1, not paper)[0]
            + residual(searched, high, 1, not paper)[0]
            + fixed
        )
        errors.append(((searched - total) ** 2).mean())
    candidate = candidates[int(numpy.argmin(errors))]
    return numpy.where(salient, 2, numpy.where(numpy.abs(searched) < candidate, 0, 1))


def half(values):
    return values.astype(numpy.float16).astype(numpy.float64)


def quantize(weights, gram, case):
    rows, columns = weights.shape
    width = case["group_size"]
    means = case["rules"] == "code"
    diagonal = numpy.diag(gram).copy()
    dead = diagonal == 0
    mean = diagonal[~dead].mean()
    hessian = gram + numpy.diag(numpy.where(dead, mean, 0) + case["damping"] * mean)
    upper = numpy.linalg.cholesky(numpy.linalg.inv(hessian)).T
    weights = weights * ~dead
    values = numpy.zeros_like(weights)
    parts = numpy.zeros(weights.shape, numpy.uint8)
    numbers = numpy.zeros((rows, columns // width, 7))
    for index, start in enumerate(range(0, columns, width)):
        end = start + width
        block = weights[:, start:end]
        pivots = numpy.diag(upper)[start:end]
        salience = block**2 / pivots**2 if case["salience"] == "hessian" else block
        part = partition(salience, salience if means else block, case)
        result = numpy.zeros_like(block)
        for value, rounds, first, center in ((2, 2, 0, 4), (0, 1, 2, 5), (1, 1, 3, 6)):
            mask = part == value
            _, mean, scales, pattern = residual(block, mask, rounds, means)
            filled = mask.any(1, keepdims=True)
            total = half(mean * filled)
            numbers[:, index, center] = total[:, 0]
            for term in range(rounds):
                scale = half(scales[term] * filled)
                numbers[:, index, first + term] = scale[:, 0]
                total = total + scale * pattern[term]
            result += total * mask
        values[:, start:end] = result
        parts[:, start:end] = part
        if case["compensation"] == "exact":
            errors = (block - result) @ numpy.linalg.inv(upper[start:end, start:end])
        else:
            errors = (block - result) / pivots
        weights[:, end:] -= errors @ upper[start:end, end:]
    return values, parts, numbers


def main():
    request = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    for case in request["cases"]:
        shape = case["rows"], case["columns"]
        weights = numpy.fromfile(case["weights"], "<f4").astype(numpy.float64).reshape(shape)
        gram = numpy.fromfile(case["gram"], "<f8").reshape(shape[1], shape[1])
        values, parts, numbers = quantize(weights, gram, case)
        values.astype("<f8").tofile(folder / f"{case['name']}.values.f8")
        parts.tofile(folder / f"{case['name']}.parts.u1")
        numbers.astype("<f8").tofile(folder / f"{case['name']}.scales.f8")


main()
