"""Megatron-Core's own reader and writer of token files, as a judge of ours.

    indexed_dataset.py read PREFIX          prints {"dtype": ..., "sequences": [[...]], "documents": [...]} as JSON
    indexed_dataset.py write PREFIX DTYPE   takes [[[...], ...], ...] (documents of sequences) from stdin
"""

import json
import sys
import warnings

warnings.filterwarnings("ignore")

import numpy
import torch
from megatron.core.datasets.indexed_dataset import IndexedDataset, IndexedDatasetBuilder


def read(prefix):
    dataset = IndexedDataset(prefix)
    sequences = [dataset[number] for number in range(len(dataset))]
    print(json.dumps({
        "dtype": dataset.index.dtype.__name__,
        "sequences": [sequence.tolist() for sequence in sequences],
        "documents": dataset.document_indices.tolist(),
    }))


def write(prefix, dtype):
    builder = IndexedDatasetBuilder(prefix + ".bin", dtype=getattr(numpy, dtype))
    for document in json.load(sys.stdin):
        for sequence in document:
            builder.add_item(torch.tensor(sequence, dtype=torch.float64 if "float" in dtype else torch.int64))
        builder.end_document()
    builder.finalize(prefix + ".idx")


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](*sys.argv[2:])
