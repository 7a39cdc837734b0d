"""Encodes and decodes texts with SentencePiece itself.

Standard input is JSON: {"texts", "models", "sequences"}, a model being {"train": options, "corpus":
texts}, which is trained first, or {"model": base64}, and a sequence a list of numbers below 1, which are
scaled to ids. Standard output is a list with, for every model, {"model": base64, "ids": ids of every
text, "decoded": text of every text's ids, "sequences": text of every sequence}.
"""

import base64
import io
import json
import sys

import sentencepiece


def answer(model, texts, sequences):
    if "train" in model:
        writer = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(model["corpus"]),
            model_writer=writer,
            minloglevel=2,
            num_threads=1,
            **model["train"],
        )
        proto = writer.getvalue()
    else:
        proto = base64.b64decode(model["model"])
    processor = sentencepiece.SentencePieceProcessor(model_proto=proto)
    ids = [processor.encode(text) for text in texts]
    return {
        "model": base64.b64encode(proto).decode(),
        "ids": ids,
        "decoded": [processor.decode(sequence) for sequence in ids],
        "sequences": [
            processor.decode([int(number * len(processor)) for number in sequence])
            for sequence in sequences
        ],
    }


request = json.load(sys.stdin)
json.dump(
    [answer(model, request["texts"], request["sequences"]) for model in request["models"]],
    sys.stdout,
)
