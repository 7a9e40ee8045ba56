"""A GPT-NeoX model written by hand in PyTorch, eager or compiled, trained for some steps: what the worker's speed is compared with.

In comes one JSON object as the only argument (shapes, batch, optimizer, threads, type, `compile`), out goes one JSON line with the seconds
of each step. It does the same arithmetic as the plan that it stands beside: parallel residual with two norms, rotary positions, exact
GELU, untied head, micro-batches, clipping over all gradients, fused AdamW.
"""

import json
import math
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


def rotary_tables(shape, dtype):
    """Cosines and sines of all positions for the rotated part of a head, half against half."""
    width = shape["rotary"]
    frequencies = shape["base"] ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    angles = torch.outer(torch.arange(shape["context"], dtype=torch.float64), frequencies)
    angles = torch.cat([angles, angles], dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x, cosines, sines):
    width = cosines.shape[-1]
    turned, kept = x[..., :width], x[..., width:]
    left, right = turned.chunk(2, dim=-1)
    turned = turned * cosines + torch.cat([-right, left], dim=-1) * sines
    return torch.cat([turned, kept], dim=-1)


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, width = shape["hidden"], shape["ffn"]
        self.heads = shape["heads"]
        self.rotary = shape["rotary"]
        self.attention_norm = nn.LayerNorm(hidden, eps=shape["eps_norm"])
        self.mlp_norm = nn.LayerNorm(hidden, eps=shape["eps_norm"])
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.output = nn.Linear(hidden, hidden)
        self.up = nn.Linear(hidden, width)
        self.down = nn.Linear(width, hidden)

    def attention(self, x, tables):
        batch, positions, hidden = x.shape
        qkv = self.qkv(x).view(batch, positions, self.heads, 3 * hidden // self.heads)
        q, k, v = (part.transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        if self.rotary:
            q, k = rotate(q, *tables), rotate(k, *tables)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(o.transpose(1, 2).reshape(batch, positions, hidden))

    def forward(self, x, tables):
        mlp = self.down(F.gelu(self.up(self.mlp_norm(x))))
        return x + self.attention(self.attention_norm(x), tables) + mlp


class Model(nn.Module):
    def __init__(self, shape, dtype):
        super().__init__()
        self.embedding = nn.Embedding(shape["vocab"], shape["hidden"])
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(shape["hidden"], eps=shape["eps_norm"])
        self.head = nn.Linear(shape["hidden"], shape["vocab"], bias=False)
        self.tables = rotary_tables(shape, dtype)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=math.sqrt(0.4 / shape["hidden"]))

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, self.tables)
        return self.head(self.norm(x))


def optimizer(model, shape):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": shape["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=shape["lr"], betas=tuple(shape["betas"]), eps=shape["eps"], fused=True)


def step(model, adamw, batches, shape, autocast):
    for ids in batches:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = model(ids[:, :-1])
            loss = F.cross_entropy(logits.float().flatten(0, 1) if autocast else logits.flatten(0, 1), ids[:, 1:].flatten())
        (loss / len(batches)).backward()
    if shape["clip"] is not None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), shape["clip"], foreach=True)
    adamw.step()
    adamw.zero_grad(set_to_none=True)
    return loss.item()


def main():
    shape = json.loads(sys.argv[1])
    torch.set_num_threads(shape["threads"])
    torch.manual_seed(shape["seed"])
    dtype = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.float32}[shape["precision"]]
    torch.set_default_dtype(dtype)
    model = Model(shape, dtype)
    adamw = optimizer(model, shape)
    if shape.get("compile"):
        model = torch.compile(model)
    size = (shape["micro_steps"], shape["micro_batch"], shape["context"] + 1)
    seconds, losses = [], []
    for _ in range(shape["steps"]):
        batches = torch.randint(shape["vocab"], size).unbind(0)
        begin = time.perf_counter()
        losses.append(step(model, adamw, batches, shape, shape["precision"] == "bf16"))
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds, "losses": losses, "torch": torch.__version__}))


main()
