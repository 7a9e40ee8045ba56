"""Compares the logits of an exported model in transformers with those of the worker.

Called as `hf_logits.py MODEL TOKENS.json LOGITS.safetensors`. Prints one JSON line: the largest difference over the largest logit, and
how many positions disagree on the likeliest token.
"""

import json
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def main():
    folder, tokens, logits = sys.argv[1:]
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    missing = sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])
    found = load_file(logits)
    worst, disagreements, positions = 0.0, 0, 0
    with open(tokens) as file:
        texts = json.load(file)
    for number, text in enumerate(texts):
        ours = found[f"logits.{number}"].double()
        with torch.no_grad():
            theirs = model(torch.tensor([text])).logits[0].double()
        if ours.shape != theirs.shape:
            sys.exit(f"text {number}: {tuple(ours.shape)} of the worker, {tuple(theirs.shape)} of transformers")
        worst = max(worst, ((ours - theirs).abs().max() / theirs.abs().max()).item())
        disagreements += int((ours.argmax(-1) != theirs.argmax(-1)).sum())
        positions += len(text)
    print(json.dumps({"difference": worst, "disagreements": disagreements, "positions": positions, "keys": missing}))


main()
