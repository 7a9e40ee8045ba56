"""Megatron-Core's GPTDataset, as the contestant of reading samples.

    gpt_dataset.py PREFIX SEQUENCE SAMPLES CACHE

Prints {"seconds": ..., "samples": ...}: the first samples in its shuffled order, each as the tensors that a step takes, without an attention mask.
Building the indices and reading the first sample are not counted.
"""

import json
import logging
import sys
import time
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import numpy
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.indexed_dataset import IndexedDataset
from megatron.core.datasets.utils import Split


class Words:
    """As much of a tokenizer as the dataset asks for."""

    vocab_size = 32_000
    eod = 0
    pad = -1
    unique_identifiers = {"name": "words"}


prefix, sequence, samples, cache = sys.argv[1:]
samples = int(samples)
config = GPTDatasetConfig(
    random_seed=1234, sequence_length=int(sequence), blend=([prefix], None), split="100,0,0", path_to_cache=cache,
    tokenizer=Words(), reset_position_ids=False, reset_attention_mask=False, eod_mask_loss=False,
    create_attention_mask=False,
)
low = IndexedDataset(prefix)
dataset = GPTDataset(low, prefix, numpy.arange(len(low), dtype=numpy.int32), samples, Split.train, config)
dataset[0]
total = 0
begin = time.perf_counter()
for number in range(samples):
    total += int(dataset[number]["tokens"][0])
seconds = time.perf_counter() - begin
print(json.dumps({"seconds": seconds, "samples": samples, "sum": total}))
