"""The Bi-Real networks of bsnn-train written with SpikingJelly 2.0, to be timed beside it. Run by tests/bench/trainer.

One process for one network and mode. It reads lines from standard input and answers each with one line of JSON:
  measure N              N training steps; {"images_per_second": ...}
  predict MODEL DATA N   the first N pictures' classes of a CIFAR-10 test file with a checkpoint's weights

Same network, state names and defaults as worker/trainer: LIF of decay 0.5 with hard reset and triangle surrogate,
IR-Net weights, batch norm over time and batch, AGMM gate of a picture's mean, one shortcut a convolution, SGD. Written
as its users write: neurons in multi-step mode, convolutions on merged time and batch, the stem once for all steps.
What is not in it, though bsnn-train does it in the time compared: making batches from the data set (here one batch
lies ready), flip ratios, gradient moments, firing rates, reports.
"""
import argparse
import json
import math
import os
import sys
import time

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import nn

STAGES = {"bireal_resnet8": [(32, 2), (64, 2), (128, 2)],
          "bireal_resnet18": [(64, 4), (128, 4), (256, 4), (512, 4)]}
SHARPNESS = 1.0  # of the backward rule of binarisation: its cost is the same for any value


class BinaryConv(nn.Module):
    """bsnn-train's `standardized` binarisation (IR-Net): sign of standardised weights times a power of two."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, 3, 3) * math.sqrt(2 / (9 * channels_out)))

    def forward(self, x):
        w = self.weight
        z = (w - w.mean((1, 2, 3), keepdim=True)) / w.std((1, 2, 3), keepdim=True)
        scale = torch.exp2(torch.round(torch.log2(z.abs().mean((1, 2, 3), keepdim=True)))).detach()
        soft = max(1 / SHARPNESS, 1.0) * torch.tanh(SHARPNESS * z)
        sign = torch.where(z >= 0, 1.0, -1.0)
        return nn.functional.conv2d(x, scale * (soft + (sign - soft).detach()), stride=self.stride, padding=1)


class Gate(nn.Module):
    def __init__(self, steps):
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(steps))

    def forward(self, x):  # [T*B, C, H, W]
        steps = self.alpha.numel()
        gate = torch.sigmoid(x.mean((1, 2, 3))).view(steps, -1) * self.alpha[:, None]
        return x * gate.flatten()[:, None, None, None].to(x.dtype)


class Conv(nn.Module):
    """LIF, binary convolution, batch norm, gate, and the shortcut's sum."""

    def __init__(self, channels_in, channels_out, stride, steps, agmm):
        super().__init__()
        self.steps = steps
        self.lif = neuron.LIFNode(tau=2.0, decay_input=False, v_threshold=1.0, v_reset=0.0, step_mode="m",
                                  surrogate_function=surrogate.PiecewiseQuadratic(alpha=1.0))
        self.conv = BinaryConv(channels_in, channels_out, stride)
        self.bn = nn.BatchNorm2d(channels_out)
        self.gate = Gate(steps) if agmm else nn.Identity()
        self.pool = nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
        changes = stride != 1 or channels_in != channels_out
        self.shortcut = nn.Sequential(nn.Conv2d(channels_in, channels_out, 1, bias=False),
                                      nn.BatchNorm2d(channels_out)) if changes else None

    def forward(self, x):
        spikes = self.lif(x.unflatten(0, (self.steps, -1))).flatten(0, 1)
        y = self.gate(self.bn(self.conv(spikes)))
        return y + (x if self.shortcut is None else self.shortcut(self.pool(x)))


class Bireal(nn.Module):
    def __init__(self, name, steps, agmm):
        super().__init__()
        stages = STAGES[name]
        self.steps = steps
        channels = stages[0][0]
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.blocks, self.names = nn.ModuleList(), []
        for s, (width, count) in enumerate(stages):
            for b in range(count):
                self.blocks.append(Conv(channels, width, 2 if s > 0 and b == 0 else 1, steps, agmm))
                self.names.append(f"stage{s + 1}.conv{b + 1}")
                channels = width
        self.fc = nn.Linear(channels, 10)

    def forward(self, images):
        x = self.stem(images).repeat(self.steps, 1, 1, 1)
        for block in self.blocks:
            x = block(x)
        return self.fc(x.mean((2, 3))).unflatten(0, (self.steps, -1))

    def load(self, tensors):
        """The tensors of a checkpoint of bsnn-train, by its names; every one must be used, and none be missing."""
        def norm(name):
            return {f"{name}.bn.{part}": part for part in ("weight", "bias", "running_mean", "running_var")}

        state, used = self.state_dict(), set()
        def take(ours, theirs):
            if state[theirs].shape != tensors[ours].shape:
                raise SystemExit(f"{ours} has the shape {tuple(tensors[ours].shape)}, the peer's "
                                 f"{theirs} {tuple(state[theirs].shape)}")
            state[theirs] = tensors[ours]
            used.add(ours)

        def take_norm(ours, theirs):
            for name, part in norm(ours).items():
                take(name, f"{theirs}.{part}")

        take("stem.weight", "stem.0.weight")
        take_norm("stem", "stem.1")
        for i, name in enumerate(self.names):
            take(f"{name}.weight", f"blocks.{i}.conv.weight")
            take_norm(name, f"blocks.{i}.bn")
            if isinstance(self.blocks[i].gate, Gate):
                take(f"{name}.gate.alpha", f"blocks.{i}.gate.alpha")
            if self.blocks[i].shortcut is not None:
                take(f"{name}.shortcut.weight", f"blocks.{i}.shortcut.0.weight")
                take_norm(f"{name}.shortcut", f"blocks.{i}.shortcut.1")
        take("fc.weight", "fc.weight")
        take("fc.bias", "fc.bias")
        if used != set(tensors):
            raise SystemExit(f"tensors of the checkpoint that the peer has no place for: {sorted(set(tensors) - used)}")
        self.load_state_dict(state)


def predict(network, model, data, count):
    from safetensors.torch import load_file
    network.load(load_file(model))
    records = torch.frombuffer(bytearray(open(data, "rb").read(3073 * count)), dtype=torch.uint8).view(-1, 3073)
    mean, deviation = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    images = (records[:, 1:].view(-1, 3, 32, 32) / 255 - mean[:, None, None]) / deviation[:, None, None]
    network.eval()
    classes = []
    with torch.no_grad():
        for batch in images.split(256):
            functional.reset_net(network)
            classes += network(batch).mean(0).argmax(1).tolist()
    functional.reset_net(network)
    network.train()
    return classes


def main():
    parser = argparse.ArgumentParser()
    for name in ("--network", "--mode"):
        parser.add_argument(name, required=True)
    for name in ("--steps", "--batch", "--threads"):
        parser.add_argument(name, type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    network = Bireal(arguments.network, arguments.steps, agmm=True)
    images, labels = torch.randn(arguments.batch, 3, 32, 32), torch.randint(0, 10, (arguments.batch,))
    bf16, compiled = "bf16" in arguments.mode, "compiled" in arguments.mode
    if "channels_last" in arguments.mode:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    weights = [p for p in network.parameters() if p.dim() > 1]
    rest = [p for p in network.parameters() if p.dim() <= 1]
    optimizer = torch.optim.SGD([{"params": weights, "weight_decay": 1e-4}, {"params": rest}], lr=0.05, momentum=0.9)
    call = torch.compile(network) if compiled else network

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            logits = call(images)
        loss = nn.functional.cross_entropy(logits.float().mean(0), labels)
        loss.backward()
        optimizer.step()
        functional.reset_net(network)
        return loss.item()

    print(json.dumps({"parameters": sum(p.numel() for p in network.parameters()), "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        command, *rest_of_line = line.split()
        if command == "predict":
            print(json.dumps(predict(network, *rest_of_line[:2], int(rest_of_line[2]))), flush=True)
            continue
        steps = int(rest_of_line[0])
        before = time.perf_counter()
        for _ in range(steps):
            loss = step()
        seconds = time.perf_counter() - before
        print(json.dumps({"images_per_second": steps * arguments.batch / seconds, "loss": loss}), flush=True)


if __name__ == "__main__":
    main()
