"""The autoencoder in plain PyTorch, to measure ours against."""

import numpy as np
import torch
from torch import nn


class TorchSlotAttention(nn.Module):
    """Algorithm 1 with keys and values of all inputs."""

    def __init__(self, preset, input_size):
        super().__init__()
        size, self.preset = preset.slot_size, preset
        self.mean = nn.Parameter(torch.zeros(1, 1, size))
        self.log_sigma = nn.Parameter(torch.zeros(1, 1, size))
        self.norm_inputs = nn.LayerNorm(input_size, eps=1e-3)
        self.norm_slots = nn.LayerNorm(size, eps=1e-3)
        self.norm_mlp = nn.LayerNorm(size, eps=1e-3)
        self.project_q = nn.Linear(size, size, bias=False)
        self.project_k = nn.Linear(input_size, size, bias=False)
        self.project_v = nn.Linear(input_size, size, bias=False)
        self.gru = nn.GRUCell(size, size)
        hidden = preset.mlp_hidden_size
        self.mlp = nn.Sequential(
            nn.Linear(size, hidden), nn.ReLU(), nn.Linear(hidden, size)
        )

    def forward(self, inputs):
        inputs = self.norm_inputs(inputs)
        keys, values = self.project_k(inputs), self.project_v(inputs)
        count, size = self.preset.num_slots, self.preset.slot_size
        noise = torch.randn(len(inputs), count, size)
        slots = self.mean + self.log_sigma.exp() * noise
        for _ in range(self.preset.num_iterations):
            queries = self.project_q(self.norm_slots(slots)) * size**-0.5
            attention = (keys @ queries.transpose(1, 2)).softmax(dim=-1) + 1e-8
            weights = attention / attention.sum(dim=1, keepdim=True)  # [B, N, K]
            updates = weights.transpose(1, 2) @ values
            slots = self.gru(updates.reshape(-1, size), slots.reshape(-1, size))
            slots = slots.reshape(-1, count, size)
            slots = slots + self.mlp(self.norm_mlp(slots))
        return slots


class TorchPosition(nn.Module):
    """Adds a projection of four ramps to a map `[B, C, H, W]`."""

    def __init__(self, channels, resolution):
        super().__init__()
        ramps = np.meshgrid(*(np.linspace(0, 1, side) for side in resolution))
        grid = np.stack([*ramps, *(1 - ramp for ramp in ramps)], axis=-1)
        self.register_buffer("grid", torch.tensor(grid, dtype=torch.float32))
        self.project = nn.Linear(4, channels)

    def forward(self, x):
        return x + self.project(self.grid).permute(2, 0, 1)


class TorchAutoEncoder(nn.Module):
    """The model of a preset of Slot Attention with a spatial broadcast decoder."""

    def __init__(self, preset):
        super().__init__()
        self.preset = preset
        layers, channels = [], preset.num_channels
        encoder = preset.make_encoder()
        sizes = (encoder.filters, encoder.kernel_size, encoder.strides)
        for filters, kernel, stride in zip(*sizes, strict=True):
            layers += [nn.Conv2d(channels, filters, kernel, stride, kernel // 2)]
            layers += [nn.ReLU()]
            channels = filters
        layers.append(TorchPosition(channels, encoder.feature_resolution))
        self.encoder = nn.Sequential(*layers)
        features = preset.feature_size
        self.features = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-3),
            nn.Linear(channels, features),
            nn.ReLU(),
            nn.Linear(features, features),
        )
        self.slot_attention = TorchSlotAttention(preset, features)
        decoder, channels = preset.make_decoder(), preset.slot_size
        self.broadcast = decoder.broadcast_resolution
        layers = [TorchPosition(channels, self.broadcast)]
        sizes = (decoder.filters, decoder.kernel_size, decoder.strides)
        for filters, kernel, stride in zip(*sizes, strict=True):
            padding = {"padding": kernel // 2, "output_padding": stride - 1}
            layers.append(
                nn.ConvTranspose2d(channels, filters, kernel, stride, **padding)
            )
            layers.append(nn.ReLU())
            channels = filters
        size = decoder.patch_size
        filters = size**2 * (preset.num_channels + 1)
        layers.append(nn.ConvTranspose2d(channels, filters, 3, padding=1))
        layers.append(nn.PixelShuffle(size))
        self.decoder = nn.Sequential(*layers)

    def forward(self, images):
        x = self.encoder(images).flatten(2).transpose(1, 2)  # [B, N, C]
        slots = self.slot_attention(self.features(x))  # [B, K, D]
        x = slots.flatten(0, 1)[:, :, None, None].expand(-1, -1, *self.broadcast)
        x = self.decoder(x).unflatten(0, slots.shape[:2])  # [B, K, C + 1, H, W]
        recons, logits = x[:, :, :-1], x[:, :, -1:]
        return (recons * logits.softmax(dim=1)).sum(dim=1)


def make_torch_step(preset, images, bfloat16):
    """A function that takes one compiled training step on images `[B, H, W, C]`."""
    model = TorchAutoEncoder(preset)
    compiled = torch.compile(model)
    optimizer = torch.optim.Adam(model.parameters(), 4e-4)
    images = torch.tensor(images).permute(0, 3, 1, 2).contiguous()

    def step():
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            recon = compiled(images)
        loss = ((recon.float() - images) ** 2).mean()
        loss.backward()
        optimizer.step()
        return float(loss)

    return step
