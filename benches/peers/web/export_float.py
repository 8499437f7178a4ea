"""Float SSD300-VGG16 for ONNX Runtime Web: python export_float.py FILE. Its WebGPU backend has no pooling that rounds sizes up, so that one
layer pads with a zero on the right and below instead: after a ReLU the same."""

import sys
from os.path import abspath, dirname

sys.path.insert(0, dirname(dirname(abspath(__file__))))
import networks  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

net = networks.build("float", 20).eval()
for i, layer in enumerate(net.body):
    if isinstance(layer, nn.MaxPool2d) and layer.ceil_mode:
        net.body[i] = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 2))
x = torch.randn(1, 3, 300, 300)
want = networks.build("float", 20).eval()
want.load_state_dict(net.state_dict(), strict=False)
with torch.no_grad():
    assert all(torch.equal(a, b) for a, b in zip(net(x), want(x))), "the padded network computes something else"
names = {"input_names": ["images"], "output_names": ["loc", "conf"], "opset_version": 17}
torch.onnx.export(net, (x,), sys.argv[1], dynamo=False, **names)
