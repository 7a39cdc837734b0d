#!/usr/bin/env python3
"""GPTQ and MagR from their papers, in NumPy with float64.

Written with other algorithms than Equipoise's: the damped Hessian is inverted and the inverse factored,
corrections are never put off, MagR's proximal step sorts and projects on the l1 ball. Numbers travel
as raw little-endian files f4, f8 or u1, row-major.

    gptq.py REQUEST.json FOLDER

A request is {"cases": [CASE, ...]}, a case {"name", "weights": FILE.f4, "gram": FILE.f8, "rows",
"columns"} with, for GPTQ, "method": "gptq", "bits", "group_size", "block_rows", "symmetric",
"damping", "block_size", "act_order", "static_groups", "grid": "stale" | "fresh" and "mse", and, for
MagR, "method": "magr", "alpha", "iterations", "accelerate", "group_size": INTEGER | null.

For GPTQ it writes, into FOLDER, <name>.codes.u1 (in the order of inputs), <name>.scales.f4,
<name>.zeros.f4, with act_order <name>.order.u4, and <name>.margins.f8: how far the value of each code,
and of the zero of a grid where it is fitted, was from a tie between two integers. For MagR it writes
<name>.weights.f8 and <name>.objectives.f8, one more than iterations. It prints {"<name>": {"error": ...}}
with GPTQ's sum of squared errors over squared diagonal elements.
"""

import json
import pathlib
import sys

import numpy


def margin(values):
    """Distance from the nearest half."""
    return numpy.abs(values - numpy.floor(values) - 0.5)


def fit(values, case):
    """Scale, zero and margin of the blocks values[blocks, elements]."""
    if not case["mse"]:
        return range_grid(values.min(1), values.max(1), case)
    best = None
    for step in range(80):
        kept = 1 - step / 100
        scale, zero, near = range_grid(kept * values.min(1), kept * values.max(1), case)
        error = (numpy.abs(round_to(values, scale[:, None], zero[:, None], case)[1] - values) ** 2.4).sum(1)
        if best is None:
            best = [error, scale, zero, near]
            continue
        better = error < best[0]
        for old, new in zip(best, [error, scale, zero, near]):
            old[better] = new[better]
    return best[1:]


def range_grid(low, high, case):
    top = 2 ** case["bits"] - 1
    low, high = numpy.minimum(low, 0), numpy.maximum(high, 0)
    if case["symmetric"]:
        high = numpy.maximum(-low, high)
        low = -high
    empty = high == low
    low, high = numpy.where(empty, -1, low), numpy.where(empty, 1, high)
    scale = numpy.float32((high - low) / top).astype("f8")
    if case["symmetric"]:
        return scale, numpy.full_like(scale, 2 ** (case["bits"] - 1)), numpy.full_like(scale, 0.5)
    return scale, numpy.round(-low / scale), margin(-low / scale)


def round_to(values, scale, zero, case):
    """Codes, values as float32 readers see them, margins."""
    codes = numpy.clip(numpy.round(values / scale) + zero, 0, 2 ** case["bits"] - 1)
    return codes, numpy.float32(scale * (codes - zero)).astype("f8"), margin(values / scale)


def gptq(weights, gram, case):
    rows, columns = weights.shape
    tall, wide = case["block_rows"], case["group_size"]
    weights, gram = weights.copy(), gram.copy()
    dead = numpy.diag(gram) == 0
    mean = numpy.diag(gram)[~dead].mean()
    weights[:, dead] = 0
    order = numpy.argsort(-numpy.diag(gram), kind="stable") if case["act_order"] else numpy.arange(columns)
    gram[dead, dead] = mean
    gram += case["damping"] * mean * numpy.eye(columns)

    def fit_groups(part):  # [rows, wide] -> one grid for each row
        scale, zero, near = fit(part.reshape(rows // tall, tall * wide), case)
        return [numpy.repeat(each, tall) for each in (scale, zero, near)]

    static = [fit_groups(weights[:, start:start + wide]) for start in range(0, columns, wide)]
    weights, gram = weights[:, order], gram[numpy.ix_(order, order)]
    upper = numpy.linalg.cholesky(numpy.linalg.inv(gram)).T
    groups, codes, margins = {}, numpy.zeros((rows, columns), "u1"), numpy.full((rows, columns), 0.5)
    error, start = 0.0, 0
    while start < columns:
        end = min(start + case["block_size"], columns)
        if case["grid"] == "fresh" and end // wide * wide > start:
            end = end // wide * wide
        before = weights.copy()
        for column in range(start, end):
            near = 0.5
            if case["static_groups"]:
                index = order[column] // wide
                scale, zero, near = static[index]
            else:
                index = column // wide
                if column % wide == 0:
                    source = weights if case["grid"] == "fresh" else before
                    groups[index] = fit_groups(source[:, column:column + wide])
                scale, zero, near = groups[index]
            groups[index] = [scale, zero, near]
            code, value, close = round_to(weights[:, column], scale, zero, case)
            codes[:, column] = code
            margins[:, column] = numpy.minimum(close, near)
            wrong = (weights[:, column] - value) / upper[column, column]
            error += (wrong ** 2).sum()
            weights[:, column:] -= numpy.outer(wrong, upper[column, column:])
        start = end
    scales = numpy.stack([groups[index][0][::tall] for index in range(columns // wide)], 1)
    zeros = numpy.stack([groups[index][1][::tall] for index in range(columns // wide)], 1)
    inputs = numpy.empty_like(order)
    inputs[order] = numpy.arange(columns)
    return codes, scales, zeros, margins, order, inputs, error


def project(values, radius):
    """Projection on the l1 ball, by sorting (Duchi et al. 2008)."""
    sizes = numpy.abs(values)
    if sizes.sum() <= radius:
        return values
    falling = numpy.sort(sizes)[::-1]
    sums = numpy.cumsum(falling) - radius
    count = numpy.nonzero(falling * numpy.arange(1, len(falling) + 1) > sums)[0][-1]
    return numpy.sign(values) * numpy.maximum(sizes - sums[count] / (count + 1), 0)


def magr(weights, gram, case):
    rows, columns = weights.shape
    wide = case["group_size"] or columns
    gram = gram / numpy.linalg.eigvalsh(gram)[-1]
    current = weights.copy()

    def objective():
        change = current - weights
        largest = numpy.abs(current).reshape(-1, wide).max(1)
        return ((change @ gram) * change).sum() / 2 + case["alpha"] * largest.sum()

    objectives = [objective()]
    start, momentum = current, 1.0
    for _ in range(case["iterations"]):
        step = (start - (start - weights) @ gram).reshape(-1, wide)
        before = current
        current = numpy.stack([part - project(part, case["alpha"]) for part in step]).reshape(rows, columns)
        objectives.append(objective())
        start = current
        if case["accelerate"]:  # FISTA with constant step size (Beck and Teboulle 2009)
            following = (1 + (1 + 4 * momentum ** 2) ** 0.5) / 2
            start = current + (momentum - 1) / following * (current - before)
            momentum = following
    return current, numpy.array(objectives)


def main(request, folder):
    folder = pathlib.Path(folder)
    answer = {}
    for case in json.loads(pathlib.Path(request).read_text())["cases"]:
        shape = case["rows"], case["columns"]
        weights = numpy.fromfile(case["weights"], "<f4").astype("f8").reshape(shape)
        gram = numpy.fromfile(case["gram"], "<f8").reshape(shape[1], shape[1])

        def write(name, values, dtype):
            numpy.ascontiguousarray(values).astype(dtype).tofile(folder / f"{case['name']}.{name}")

        if case["method"] == "magr":
            current, objectives = magr(weights, gram, case)
            write("weights.f8", current, "<f8")
            write("objectives.f8", objectives, "<f8")
            continue
        codes, scales, zeros, margins, order, inputs, error = gptq(weights, gram, case)
        write("codes.u1", codes[:, inputs], "u1")
        write("margins.f8", margins[:, inputs], "<f8")
        write("scales.f4", scales, "<f4")
        write("zeros.f4", zeros, "<f4")
        write("order.u4", order, "<u4")
        answer[case["name"]] = {"error": error}
    print(json.dumps(answer))


main(*sys.argv[1:])
