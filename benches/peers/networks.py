"""The networks that are measured, in PyTorch, written from docs/method.md and `autobidet info ssd300-vgg16`.

`Float` is SSD300-VGG16 as published. `BiDet` is the restructured network with binary layers, run as PyTorch code for such
networks runs it: a float convolution of sign(x) with alpha * sign(w). Both give eight location values a box, as BiDet has
them (four log-variances, four means), so that the same work is compared.
"""

import torch
import torch.nn.functional as F
from torch import nn

BOXES = (4, 6, 6, 6, 4, 4)
PRIORS = 8732
# (channels, kernel, stride, padding)
EXTRAS = (
    (256, 1, 1, 0), (512, 3, 2, 1), (128, 1, 1, 0), (256, 3, 2, 1),
    (128, 1, 1, 0), (256, 3, 1, 0), (128, 1, 1, 0), (256, 3, 1, 0),
)


class L2Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), 20.0))

    def forward(self, x):
        norm = x.pow(2).sum(dim=1, keepdim=True).sqrt() + 1e-10
        return x / norm * self.weight.view(1, -1, 1, 1)


class Heads(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.logits = classes + 1
        self.loc = nn.ModuleList(nn.Conv2d(c, b * 8, 3, padding=1) for c, b in zip(channels, BOXES))
        self.conf = nn.ModuleList(nn.Conv2d(c, b * self.logits, 3, padding=1) for c, b in zip(channels, BOXES))

    def forward(self, sources):
        def gather(heads, values):
            maps = [h(s).permute(0, 2, 3, 1).flatten(1) for h, s in zip(heads, sources)]
            return torch.cat(maps, 1).view(sources[0].shape[0], -1, values)

        return gather(self.loc, 8), gather(self.conf, self.logits)


class Float(nn.Module):
    def __init__(self, classes):
        super().__init__()
        body, c = [], 3
        for stage, (channels, convs) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
            for _ in range(convs):
                body += [nn.Conv2d(c, channels, 3, padding=1), nn.ReLU(inplace=True)]
                c = channels
            body.append(nn.MaxPool2d(3, 1, 1) if stage == 4 else nn.MaxPool2d(2, 2, ceil_mode=stage == 2))
        body += [nn.Conv2d(512, 1024, 3, padding=6, dilation=6), nn.ReLU(inplace=True)]
        body += [nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]
        self.body = nn.ModuleList(body)
        self.norm = L2Norm(512)
        extras, c = [], 1024
        for out, k, s, p in EXTRAS:
            extras.append(nn.Conv2d(c, out, k, s, p))
            c = out
        self.extras = nn.ModuleList(extras)
        self.heads = Heads(classes, (512, 1024, 512, 256, 256, 256))

    # conv4_3's ReLU: 2 + 2 + 3 convolutions with their ReLUs and three pools before stage 4, three convolutions in it.
    CONV4_3 = 2 * (2 + 2 + 3 + 3) + 3

    def forward(self, x):
        sources = []
        for i, layer in enumerate(self.body):
            x = layer(x)
            if i + 1 == self.CONV4_3:
                sources.append(self.norm(x))
        sources.append(x)
        for i, layer in enumerate(self.extras):
            x = F.relu(layer(x))
            if i % 2 == 1:
                sources.append(x)
        return self.heads(sources)


class Sign(torch.autograd.Function):
    """The sign; its gradient is ApproxSign's, 2 - 2|x| inside (-1, 1)."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sign(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (2 - 2 * x.abs()).clamp_(min=0)


class SignThrough(torch.autograd.Function):
    """The sign of a weight; the gradient passes as it is."""

    @staticmethod
    def forward(ctx, w):
        return torch.sign(w)

    @staticmethod
    def backward(ctx, g):
        return g


class BinaryConv(nn.Module):
    def __init__(self, c, out, k, stride=1, padding=0, dilation=1):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, c, k, k))
        nn.init.xavier_normal_(self.weight)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.exporting = False

    def forward(self, x):
        w = self.weight
        alpha = w.abs().mean(dim=(1, 2, 3), keepdim=True)
        if self.exporting:
            x, w = torch.sign(x), (alpha * torch.sign(w)).detach()
        else:
            x, w = Sign.apply(x), alpha * SignThrough.apply(w)
        if self.padding:
            x = F.pad(x, (self.padding,) * 4, value=-1.0)
        return F.conv2d(x, w, stride=self.stride, dilation=self.dilation)


class BatchNorm(nn.BatchNorm2d):
    """PyTorch's, but for a map of one value a channel (the last layer, at a batch of 1), which it refuses in training: there
    the running statistics are taken."""

    def forward(self, x):
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class Block(nn.Module):
    """y = BN(BinConv(x)) + S(x)"""

    def __init__(self, c, out, stride, ceil):
        super().__init__()
        self.conv, self.bn = BinaryConv(c, out, 3, stride, 1), BatchNorm(out)
        self.shortcut = nn.Identity()
        if stride == 2 or c != out:
            pool = [nn.AvgPool2d(2, 2, ceil_mode=ceil)] if stride == 2 else []
            self.shortcut = nn.Sequential(*pool, nn.Conv2d(c, out, 1, bias=False), BatchNorm(out))

    def forward(self, x):
        return self.bn(self.conv(x)) + self.shortcut(x)


class BiDet(nn.Module):
    BLOCKS = (
        (64, 1), (128, 2), (128, 1), (128, 1), (256, 2), (256, 1), (256, 1), (256, 1),
        (512, 2), (512, 1), (512, 1), (512, 1), (512, 2), (512, 1), (512, 1), (512, 1),
    )

    def __init__(self, classes):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), BatchNorm(64))
        blocks, c, side = [], 64, 300
        for out, stride in self.BLOCKS:
            blocks.append(Block(c, out, stride, ceil=side % 2 == 1))
            c, side = out, (side + stride - 1) // stride
        self.blocks = nn.ModuleList(blocks)
        self.norm = L2Norm(512)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.wide = nn.Sequential(BinaryConv(512, 1024, 3, 1, 6, 6), BatchNorm(1024), nn.ReLU())
        self.last = nn.Sequential(nn.Conv2d(1024, 1024, 1), BatchNorm(1024), nn.ReLU())
        extras, c = [], 1024
        for out, k, s, p in EXTRAS:
            extras.append(nn.Sequential(BinaryConv(c, out, k, s, p), BatchNorm(out)))
            c = out
        self.extras = nn.ModuleList(extras)
        self.heads = Heads(classes, (512, 1024, 512, 256, 256, 256))

    def forward(self, x):
        x, sources = self.first(x), []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == 11:
                sources.append(self.norm(x))
        x = self.last(self.wide(self.pool(x)))
        sources.append(x)
        for i, layer in enumerate(self.extras):
            x = layer(x)
            if i % 2 == 1:
                sources.append(x)
        return self.heads(sources)


def build(name, classes):
    torch.manual_seed(1)
    return {"float": Float, "bidet": BiDet}[name](classes)


def multibox_loss(loc, conf, loc_target, labels, noise):
    """SSD's loss with BiDet's location: the mean plus noise of its variance."""
    positive = labels > 0
    count = positive.sum().clamp(min=1)
    place = loc[..., 4:] + noise * torch.randn_like(loc[..., 4:]) * (0.5 * loc[..., :4]).exp()
    location = F.smooth_l1_loss(place[positive], loc_target[positive], reduction="sum")
    each = F.cross_entropy(conf.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    rank = each.detach().masked_fill(positive, 0).sort(dim=1, descending=True).indices.sort(dim=1).indices
    negative = rank < 3 * positive.sum(dim=1, keepdim=True)
    return (location + each[positive | negative].sum()) / count
