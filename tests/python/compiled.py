"""A GPT-2 or GPT-NeoX shaped model under torch.compile, trained for some steps: what the worker's speed on a GPU is compared with.

In comes one JSON object as the only argument (shapes, batch, steps, device), out goes one JSON line with the seconds of each step, the
losses, the seconds before the first step and the most bytes that were allocated and reserved. It is written as people write it: f32 weights
under bf16 autocast, flash attention, fused AdamW, gradients clipped, one synchronisation a step to read the loss.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class Layer(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden = shape["hidden"]
        self.heads, self.rotary, self.parallel = shape["heads"], shape["rotary"], shape["parallel"]
        self.form = "tanh" if shape["tanh"] else "none"
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.qkv, self.output = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def rotate(self, x, tables):
        cosines, sines = tables
        turned, kept = x[..., : self.rotary], x[..., self.rotary :]
        left, right = turned.chunk(2, dim=-1)
        turned = turned * cosines + torch.cat([-right, left], dim=-1) * sines
        return torch.cat([turned.type_as(kept), kept], dim=-1)

    def attention(self, x, tables):
        batch, positions, hidden = x.shape
        parts = self.qkv(x).view(batch, positions, 3, self.heads, hidden // self.heads).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in parts)
        if self.rotary:
            q, k = self.rotate(q, tables), self.rotate(k, tables)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.output(o.transpose(1, 2).reshape(batch, positions, hidden))

    def mlp(self, x):
        return self.down(F.gelu(self.up(x), approximate=self.form))

    def forward(self, x, tables):
        first, second = self.norms
        if self.parallel:
            return x + self.attention(first(x), tables) + self.mlp(second(x))
        x = x + self.attention(first(x), tables)
        return x + self.mlp(second(x))


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        hidden, context, width = shape["hidden"], shape["context"], shape["rotary"]
        self.embedding = nn.Embedding(shape["vocab"], hidden)
        self.positions = None if width else nn.Embedding(context, hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape["layers"]))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, shape["vocab"], bias=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)
        if shape["tied"]:
            self.head.weight = self.embedding.weight
        frequencies = 1e4 ** (-torch.arange(0, max(width, 2), 2) / max(width, 2))
        angles = torch.outer(torch.arange(context), frequencies)
        angles = torch.cat([angles, angles], dim=-1)
        self.register_buffer("cosines", angles.cos(), persistent=False)
        self.register_buffer("sines", angles.sin(), persistent=False)

    def forward(self, ids, targets):
        x = self.embedding(ids)
        if self.positions is not None:
            x = x + self.positions.weight[: ids.shape[1]]
        for layer in self.layers:
            x = layer(x, (self.cosines, self.sines))
        logits = self.head(self.norm(x))
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main():
    shape = json.loads(sys.argv[1])
    began, device = time.perf_counter(), shape["device"]
    torch.manual_seed(1)
    torch.set_float32_matmul_precision("high")
    model = Model(shape).to(device)
    adam = torch.optim.AdamW(model.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    step_model = torch.compile(model) if shape["compile"] else model
    size = (shape["batch"], shape["context"] + 1)
    seconds, losses = [], []
    for step in range(shape["steps"]):
        tokens = torch.randint(256, size)
        tokens = tokens.pin_memory() if device == "cuda" else tokens
        before = time.perf_counter()
        tokens = tokens.to(device, non_blocking=True)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = step_model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()
        adam.zero_grad(set_to_none=True)
        losses.append(loss.item())
        seconds.append(time.perf_counter() - before)
    found = {"seconds": seconds, "losses": losses, "start": time.perf_counter() - began - sum(seconds)}
    if device == "cuda":
        found["allocated"] = torch.cuda.max_memory_allocated()
        found["reserved"] = torch.cuda.max_memory_reserved()
    print(json.dumps(found))


main()
