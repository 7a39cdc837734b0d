#!/usr/bin/env python3
"""SliM-LLM from its paper and the description of its released code, in NumPy with float64.

Written with whole arrays; every candidate of the allocation quantizes the whole layer anew, and what
is left of the Hessian is inverted anew for every column, as in Optimal Brain Surgeon. Numbers travel as
raw little-endian files f4, f8 or u1, row-major.

    slim_llm.py REQUEST.json FOLDER

A request is {"cases": [CASE, ...]}, a case {"name", "weights": FILE.f4, "inputs": FILE.f4 [tokens,
columns], "rows", "columns", "bits", "group_size", "objective", "pairs", "one_bit", "salient",
"salient_weight", "exponent", "damping"}, as the parameters of Equipoise's quantizer; the Gram matrix is
that of the inputs. It writes, into FOLDER, <name>.widths.u1, <name>.codes.u1, <name>.scales.f8 and
<name>.zeros.f8 [rows, groups], and <name>.margins.f8: how far each code was from a tie, in steps.
"""

import json
import pathlib
import sys

import numpy


def float32(values):
    return numpy.asarray(values, numpy.float32).astype(numpy.float64)


def fit(group, bits, case):
    """Scales and zeros of the rows of a group."""
    if bits == 1:
        rule = case["one_bit"]
        mean = group.mean(1) if rule != "paper" else numpy.zeros(len(group))
        center = mean if rule == "centered" else numpy.zeros(len(group))
        scale = float32(2 * numpy.abs(group - center[:, None]).mean(1))
        return scale, float32(0.5 - mean / scale)
    low = numpy.minimum(group.min(1), 0)
    high = numpy.maximum(group.max(1), 0)
    scale = float32((high - low) / (2**bits - 1))
    return scale, numpy.round(-low / scale)


def encode(values, scale, zero, bits):
    if bits == 1:
        place = values / scale + zero
        return numpy.where(place >= 0.5, 1.0, 0.0), numpy.abs(place - 0.5)
    place = values / scale
    codes = numpy.clip(numpy.round(place) + zero, 0, 2**bits - 1)
    return codes, numpy.abs(place - numpy.floor(place) - 0.5)


def rounded(group, bits, case):
    scale, zero = (numbers[:, None] for numbers in fit(group, bits, case))
    return scale * (encode(group, scale, zero, bits)[0] - zero)


def log_softmax(values):
    values = values - values.max(1, keepdims=True)
    return values - numpy.log(numpy.exp(values).sum(1, keepdims=True))


def difference(truth, outputs, objective):
    if objective == "mse":
        return ((truth - outputs) ** 2).mean()
    expected, actual = log_softmax(truth), log_softmax(outputs)
    if objective == "reverse-kl":
        expected, actual = actual, expected
    return (numpy.exp(expected) * (expected - actual)).sum(1).mean()


def allocate(weights, salience, inputs, case):
    bits, size = case["bits"], case["group_size"]
    groups = weights.shape[1] // size
    order = numpy.argsort(salience, kind="stable")
    if case["pairs"] == "paper":
        tried = range(0, groups // 2 + 1)
    else:
        tried = range(1, groups // 2)
    best = numpy.full(groups, bits)
    least = numpy.inf
    truth = inputs @ weights.T
    for pairs in tried:
        widths = numpy.full(groups, bits)
        widths[order[:pairs]] -= 1
        widths[order[groups - pairs :]] += 1
        parts = [
            rounded(weights[:, index * size : (index + 1) * size], width, case)
            for index, width in enumerate(widths)
        ]
        loss = difference(truth, inputs @ numpy.concatenate(parts, 1).T, case["objective"])
        if loss < least:
            best, least = widths, loss
    return best


def salient_mask(group, pivots, case):
    if case["salient"] == "weights":
        return numpy.abs(group - group.mean()) > 3 * group.std(ddof=1)
    salience = group**2 / pivots**2
    return salience - salience.mean() > 2 * salience.std(ddof=1)


def search(group, bits, pivots, case):
    scale, zero = fit(group, bits, case)
    if bits == 1:
        return scale, zero
    factors = numpy.where(salient_mask(group, pivots, case), case["salient_weight"], 1.0)
    steps = [(step + 1) / 500 for step in range(50)]
    taus = [1.0] + [1 + step for step in steps] + [1 - step for step in steps]
    errors = []
    scales = []
    for tau in taus:
        candidate = float32(tau * scale)[:, None]
        codes, _ = encode(group, candidate, zero[:, None], bits)
        misses = numpy.abs(group - candidate * (codes - zero[:, None]))
        errors.append((factors * misses ** case["exponent"]).sum(1))
        scales.append(candidate[:, 0])
    best = numpy.argmin(numpy.array(errors), 0)
    return numpy.array(scales)[best, numpy.arange(len(group))], zero


def quantize(weights, inputs, case):
    rows, columns = weights.shape
    size = case["group_size"]
    gram = inputs.T @ inputs / len(inputs)
    hessian = gram + numpy.diag(numpy.full(columns, case["damping"] * numpy.diag(gram).mean()))
    # Rows of the conditional inverses: U_jj and U[j, j:] without a factorization.
    upper = numpy.zeros((columns, columns))
    inverse = numpy.linalg.inv(hessian)
    for column in range(columns):
        upper[column, column:] = inverse[0] / numpy.sqrt(inverse[0, 0])
        inverse = inverse[1:, 1:] - numpy.outer(inverse[1:, 0], inverse[0, 1:]) / inverse[0, 0]
    pivots = numpy.diag(upper)
    salience = (weights**2 / pivots**2).sum(0).reshape(-1, size).sum(1)
    widths = allocate(weights, salience, inputs, case)
    weights = weights.copy()
    codes = numpy.zeros(weights.shape)
    margins = numpy.zeros(weights.shape)
    scales = numpy.zeros((rows, len(widths)))
    zeros = numpy.zeros((rows, len(widths)))
    for index, bits in enumerate(widths):
        start, end = index * size, (index + 1) * size
        scale, zero = search(weights[:, start:end], bits, pivots[start:end], case)
        scales[:, index], zeros[:, index] = scale, zero
        for column in range(start, end):
            codes[:, column], margins[:, column] = encode(weights[:, column], scale, zero, bits)
            result = float32(scale * (codes[:, column] - zero))
            error = (weights[:, column] - result) / pivots[column]
            weights[:, column + 1 :] -= numpy.outer(error, upper[column, column + 1 :])
    return widths, codes, scales, zeros, margins


def main():
    request = json.loads(pathlib.Path(sys.argv[1]).read_text())
    folder = pathlib.Path(sys.argv[2])
    for case in request["cases"]:
        columns = case["columns"]
        weights = numpy.fromfile(case["weights"], "<f4").astype(numpy.float64)
        inputs = numpy.fromfile(case["inputs"], "<f4").astype(numpy.float64)
        names = ("widths.u1", "codes.u1", "scales.f8", "zeros.f8", "margins.f8")
        results = quantize(weights.reshape(-1, columns), inputs.reshape(-1, columns), case)
        for name, values in zip(names, results):
            dtype = "<" + name[-2:]
            values.astype(dtype).tofile(folder / f"{case['name']}.{name}")


main()
