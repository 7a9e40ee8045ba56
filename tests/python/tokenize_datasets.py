"""Hugging Face `datasets` with `tokenizers`, as the contestant of `pleach data tokenize`.

    tokenize_datasets.py WAY THREADS TOKENIZER.json CORPUS.jsonl FOLDER

WAY is `processes` (num_proc, one thread each) or `threads` (one process, the library's own threads). Prints {"seconds": ..., "map": ..., "tokens": ...}:
from the JSONL to Arrow files of ids below FOLDER, and the share of the tokenization alone. Importing is not counted.
"""

import json
import os
import sys
import time

way, threads, tokenizer_path, corpus, folder = sys.argv[1:]
processes = int(threads) if way == "processes" else None
os.environ["TOKENIZERS_PARALLELISM"] = "false" if processes else "true"
os.environ["RAYON_NUM_THREADS"] = "1" if processes else threads
os.environ["HF_DATASETS_OFFLINE"] = "1"

import datasets
from tokenizers import Tokenizer

datasets.disable_progress_bars()
datasets.disable_caching()
tokenizer = Tokenizer.from_file(tokenizer_path)
end = tokenizer.token_to_id("<|endoftext|>")


def encode(batch):
    return {"ids": [found.ids + [end] for found in tokenizer.encode_batch_fast(batch["text"], add_special_tokens=False)]}


begin = time.perf_counter()
read = datasets.load_dataset("json", data_files=corpus, split="train", cache_dir=folder)
loaded = time.perf_counter()
made = read.map(encode, batched=True, num_proc=processes, remove_columns=read.column_names)
ended = time.perf_counter()
tokens = sum(len(ids) for batch in made.with_format("arrow").iter(1000) for ids in batch["ids"])
print(json.dumps({"seconds": ended - begin, "map": ended - loaded, "tokens": tokens}))
