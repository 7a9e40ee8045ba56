"""A step of transformers' own on the tokens of one of ours: `hf_step.py JOBS.json`.

Each job names a model's folder, the token ids of its samples, one more than the sequence is long, and where it is there a folder of gradients under the names and
in the shapes of the model's own tensors. Prints a JSON object for each: the loss, what the folder lacks or has too much, and for the gradient that is farthest
off its name and how far, over its own size (or over a millionth of all of them together, where it is nothing but rounding). Where a job names a file of logits,
also how far these are off at most, over the largest.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def gradients_of(folder):
    found = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        found.update(load_file(path))
    return {name.replace("embed_out", "lm_head"): value.double() for name, value in found.items()}


def main():
    with open(sys.argv[1]) as file:
        jobs = json.load(file)
    for job in jobs:
        model, info = AutoModelForCausalLM.from_pretrained(job["model"], dtype="auto", output_loading_info=True)
        model.train()
        samples = torch.tensor(job["samples"])
        logits = model(samples[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), samples[:, 1:].flatten())
        answer = {"loss": loss.item(), "dtype": str(model.dtype), "worst": 0.0, "of": None}
        if job.get("logits"):
            found = load_file(job["logits"])
            ours = torch.stack([found[f"logits.{number}"].double() for number in range(len(samples))])
            answer["logits"] = ((ours - logits).abs().max() / logits.abs().max()).item()
        answer["keys"] = sorted(info["missing_keys"]) + sorted(info["unexpected_keys"])
        if job.get("gradients"):
            loss.backward()
            ours = gradients_of(job["gradients"])
            theirs = {name: parameter.grad.double() for name, parameter in model.named_parameters()}
            answer["keys"] += sorted(set(ours) ^ set(theirs))
            total = torch.stack([gradient.norm() for gradient in theirs.values()]).norm()
            for name, gradient in theirs.items():
                if name in ours:
                    off = ((ours[name] - gradient).norm() / torch.maximum(gradient.norm(), 1e-6 * total)).item()
                    if off > answer["worst"]:
                        answer["worst"], answer["of"] = off, name
        print(json.dumps(answer))


main()
