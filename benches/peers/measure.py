"""One measurement of one peer; prints one line of JSON. `compare.py` calls it, each time in a process of its own.

    python measure.py --peer torch|onnxruntime --network float|bidet --task infer|train|memory [--threads N] [--device cpu|cuda]

`memory` is the most that tensors took at once in a training step, by PyTorch's own account: its profiler's on a CPU, its
caching allocator's on CUDA. Weights, gradients and Adam's moments are in it, workspaces that it does not account for are not.
"""

import argparse
import json
import os
import statistics
import tempfile
import time

WARM_UP = 2


def missing(why):
    print(json.dumps({"missing": why}))
    raise SystemExit(0)


def times_of(run, repeats, wait):
    seconds = []
    for i in range(WARM_UP + repeats):
        begin = time.perf_counter()
        run()
        wait()
        if i >= WARM_UP:
            seconds.append(time.perf_counter() - begin)
    return seconds


def times(seconds):
    return {"median_seconds": statistics.median(seconds), "best_seconds": min(seconds)}


def torch_or_missing():
    try:
        import torch
    except Exception as e:  # an installation may be broken in more ways than by not being there
        missing(f"PyTorch cannot be imported: {str(e).splitlines()[0]}")
    return torch


def training_step(args, torch, net, x):
    import networks

    net.train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    labels = torch.zeros(args.batch, networks.PRIORS, dtype=torch.long, device=x.device)
    labels[:, torch.randperm(networks.PRIORS)[:20]] = torch.randint(1, args.classes + 1, (20,), device=x.device)
    targets = torch.randn(args.batch, networks.PRIORS, 4, device=x.device)

    def run():
        optimizer.zero_grad(set_to_none=True)
        loss = networks.multibox_loss(*net(x), targets, labels, 0.001)
        loss.backward()
        optimizer.step()

    return run


def memory_with_torch(args, torch):
    """Two steps: in the second one Adam's moments are there from the beginning."""
    import networks

    def steps():
        net = networks.build(args.network, args.classes).to(args.device)
        run = training_step(args, torch, net, torch.randn(args.batch, 3, 300, 300, device=args.device))
        run()
        run()

    if args.device == "cuda":
        if not torch.cuda.is_available():
            missing("PyTorch finds no CUDA device")
        torch.cuda.reset_peak_memory_stats()
        steps()
        peak = torch.cuda.max_memory_allocated()
    else:
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            steps()
        events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
        if not events:
            missing("this PyTorch's profiler does not tell of memory")
        held = peak = 0
        for e in sorted(events, key=lambda e: e.start_ns()):
            held += e.nbytes()
            peak = max(peak, held)
    return {"memory_bytes": peak, "version": f"PyTorch {torch.__version__}", "device": args.device}


def with_torch(args, torch):
    import networks

    if args.task == "memory":
        return memory_with_torch(args, torch)

    device = args.device
    if device == "cuda" and not torch.cuda.is_available():
        missing("PyTorch finds no CUDA device")
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    best = None
    # The layout that code for such networks has, and the one that is often faster: the better one counts.
    for layout in ("contiguous", "channels_last"):
        form = getattr(torch, f"{layout}_format" if layout == "contiguous" else layout)
        net = networks.build(args.network, args.classes).to(device).to(memory_format=form)
        x = torch.randn(args.batch, 3, 300, 300, device=device).contiguous(memory_format=form)
        if args.task == "infer":
            net.eval()

            def run():
                with torch.inference_mode():
                    net(x)
        else:
            run = training_step(args, torch, net, x)
        seconds = times_of(run, args.runs, wait)
        found = times(seconds) | {"layout": layout}
        found["parameters"] = sum(p.numel() for p in net.parameters())
        if best is None or found["best_seconds"] < best["best_seconds"]:
            best = found
        del net
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return best | {"version": f"PyTorch {torch.__version__}", "device": name}


def with_onnxruntime(args):
    if args.task != "infer":
        missing("ONNX Runtime does not train here")
    try:
        import onnxruntime
    except Exception as e:
        missing(f"ONNX Runtime cannot be imported: {str(e).splitlines()[0]}")
    provider = "CUDAExecutionProvider" if args.device == "cuda" else "CPUExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        missing(f"this ONNX Runtime has no {provider}")
    path = args.onnx or export(args)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=[provider])
    import numpy

    x = numpy.random.default_rng(1).standard_normal((args.batch, 3, 300, 300), dtype=numpy.float32)
    seconds = times_of(lambda: session.run(None, {"images": x}), args.runs, lambda: None)
    return times(seconds) | {
        "version": f"ONNX Runtime {onnxruntime.__version__}",
        "device": session.get_providers()[0],
    }


def export(args):
    """The network as a file; PyTorch makes it."""
    torch = torch_or_missing()
    import networks

    net = networks.build(args.network, args.classes).eval()
    for layer in net.modules():
        if isinstance(layer, networks.BinaryConv):
            layer.exporting = True
    path = os.path.join(args.folder or tempfile.mkdtemp(), f"{args.network}.onnx")
    x = torch.randn(args.batch, 3, 300, 300)
    names = {"input_names": ["images"], "output_names": ["loc", "conf"], "opset_version": 17}
    try:
        torch.onnx.export(net, (x,), path, dynamo=False, **names)
    except Exception as e:
        missing(f"the network cannot be exported: {type(e).__name__}: {str(e).splitlines()[0]}")
    return path


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--peer", choices=["torch", "onnxruntime"], required=True)
    p.add_argument("--network", choices=["float", "bidet"], required=True)
    p.add_argument("--task", choices=["infer", "train", "memory"], required=True)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--classes", type=int, default=20)
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--onnx", help="the network as a file that was exported before")
    p.add_argument("--folder", help="where an exported network is left")
    args = p.parse_args()
    if args.peer == "torch":
        torch = torch_or_missing()
        torch.set_num_threads(args.threads)
        found = with_torch(args, torch)
    else:
        found = with_onnxruntime(args)
    print(json.dumps(found | {"threads": args.threads, "runs": args.runs, "batch": args.batch}))


if __name__ == "__main__":
    main()
