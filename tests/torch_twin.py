"""The EVA-02 image tower and the distillation loss written again in PyTorch, on the same parameter tree."""

import math

import numpy as np
import torch
import torch.nn.functional as F


def to_torch(tree):
    if isinstance(tree, dict):
        return {name: to_torch(branch) for name, branch in tree.items()}
    return torch.from_numpy(np.array(tree))


def norm(x, scale_and_bias, eps):
    return F.layer_norm(x, x.shape[-1:], scale_and_bias["scale"], scale_and_bias["bias"], eps)


def linear(x, layer):
    return F.linear(x, layer["kernel"].T, layer.get("bias"))


def rope(x, grid):
    """Rotates adjacent channel pairs of x [B, A, N, W] as complex numbers: half by the row, half by the column."""
    bands = x.shape[-1] // 4
    frequencies = 10_000.0 ** (-torch.arange(bands, dtype=torch.float64) / bands)
    positions = torch.arange(grid, dtype=torch.float64) * 16 / grid
    rows, columns = torch.meshgrid(positions, positions, indexing="ij")
    angles = torch.cat([place.reshape(-1, 1) * frequencies for place in (rows, columns)], dim=1)
    turn = torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turn).reshape(x.shape)


def attention(x, layer, heads, grid, eps):
    batch, rows, width = x.shape
    q, k, v = (linear(x, layer[name]).reshape(batch, rows, heads, -1).transpose(1, 2) for name in ("q", "k", "v"))
    first = rows - grid**2  # the class token and prompts have no position
    q, k = (torch.cat([part[:, :, :first], rope(part[:, :, first:], grid)], dim=2) for part in (q, k))
    weights = (q @ k.transpose(2, 3) / math.sqrt(width // heads)).softmax(dim=-1)
    joined = (weights @ v).transpose(1, 2).reshape(batch, rows, width)
    return linear(norm(joined, layer["norm"], eps), layer["out"])


def image_tower(params, images, spec, tokens=None, *, prompts=None, replaced=None, class_token=None, read=None):
    """Embeds normalised images [B, H, W, 3], L2-normalised [B, E].

    Tokens are L + 1 tables [N, D], None where there is none; prompts are rows [P, D]; `replaced` holds the parameters
    of single blocks by number. A class token may take the place of that of the tower; `read` gets the patch rows after
    the first block and all rows after the last norm, and returns what goes into the head.
    """
    blocks, replaced = spec.blocks, replaced or {}
    kernel = params["patch_embed"]["kernel"].permute(3, 2, 0, 1)
    x = F.conv2d(images.permute(0, 3, 1, 2), kernel, params["patch_embed"]["bias"], stride=spec.patch)
    x = x.flatten(2).transpose(1, 2)
    tokens = [None] * (blocks.depth + 1) if tokens is None else tokens
    if tokens[0] is not None:
        x = x + tokens[0]
    class_token = params["class_token"] if class_token is None else class_token
    x = torch.cat([class_token.expand(len(x), 1, -1), x], dim=1) + params["position"]
    if prompts is not None:
        x = torch.cat([x[:, :1], prompts.expand(len(x), -1, -1), x[:, 1:]], dim=1)
    patches, after = x.shape[1] - spec.patches, []
    for depth in range(blocks.depth):
        block = replaced.get(str(depth)) or take(params["blocks"], depth)
        if tokens[depth + 1] is not None:
            x = torch.cat([x[:, :patches], x[:, patches:] + tokens[depth + 1]], dim=1)
        x = x + attention(norm(x, block["norm1"], blocks.eps), block["attention"], blocks.heads, spec.grid, blocks.eps)
        mlp, y = block["mlp"], norm(x, block["norm2"], blocks.eps)
        hidden = F.silu(linear(y, mlp["gate"])) * linear(y, mlp["up"])
        x = x + linear(norm(hidden, mlp["norm"], blocks.eps), mlp["down"])
        after.append(x)
    x = norm(x, params["norm"], blocks.eps)
    x = x[:, 0] if read is None else read(after[0][:, 1:], x)
    return F.normalize(linear(x, params["head"]), dim=-1)


def take(tree, depth):
    return {name: take(branch, depth) if isinstance(branch, dict) else branch[depth] for name, branch in tree.items()}


def distillation_loss(teacher, students, log_scale):
    targets = torch.arange(len(teacher))
    total = 0.0
    for student in students:
        logits = log_scale.exp() * teacher @ student.T
        total = total + (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2
    return total
