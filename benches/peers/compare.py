"""Runs the peers and autobidet one after the other on this machine and prints a table of ratios. `run` starts it.

Only the standard library is needed here. Each measurement is a process of its own, and the rounds go through all of them in
turn, so that a machine that is busy for a while does not slow one of them alone; of the rounds the fastest counts.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# What stands in the table: (key, text, who, arguments). `ours` are arguments of `autobidet bench`.
INFER, TRAIN = ["infer", "--model", "ssd300-vgg16"], ["train", "--model", "ssd300-vgg16"]
ROWS = [
    ("float SSD300-VGG16, inference", [
        ("PyTorch", ["torch", "float", "infer"]),
        ("ONNX Runtime", ["onnxruntime", "float", "infer"]),
        ("Burn", "no program for Burn is written here yet: it would be a Rust program of its own"),
        ("autobidet", INFER + ["--method", "float", "--no-batch-norm"]),
    ]),
    ("BiDet-SSD300, inference", [
        ("PyTorch", ["torch", "bidet", "infer"]),
        ("ONNX Runtime", ["onnxruntime", "bidet", "infer"]),
        ("autobidet, exact file", INFER + ["--method", "bidet-sc", "--precision", "exact"]),
        ("autobidet, float file", INFER + ["--method", "bidet-sc", "--precision", "float"]),
        ("autobidet, evaluation while training", INFER + ["--method", "bidet-sc"]),
    ]),
    ("float SSD300-VGG16, training step", [
        ("PyTorch", ["torch", "float", "train"]),
        ("Burn", "no program for Burn is written here yet: it would be a Rust program of its own"),
        ("autobidet", TRAIN + ["--method", "float", "--no-batch-norm"]),
    ]),
    ("BiDet-SSD300, training step", [
        ("PyTorch", ["torch", "bidet", "train"]),
        ("autobidet, the same loss (bireal)", TRAIN + ["--method", "bireal"]),
        ("autobidet, IB and object prior too (bidet-sc)", TRAIN + ["--method", "bidet-sc"]),
    ]),
]


def last_json(text):
    """The object that a program printed last; it may have said something before."""
    begin = text.rfind("\n{", 0, text.rfind("}")) + 1 if not text.lstrip().startswith("{") else 0
    return json.loads(text[begin:])


def call(command, env, limit):
    try:
        p = subprocess.run(command, env=env, capture_output=True, text=True, timeout=limit, cwd=HERE)
    except subprocess.TimeoutExpired:
        return {"missing": f"took longer than {limit} s"}
    except OSError as e:
        return {"missing": f"{command[0]} cannot be started: {e.strerror}"}
    if p.returncode != 0:
        lines = [line for line in p.stderr.strip().splitlines() if line.strip()]
        return {"missing": f"failed: {lines[-1] if lines else 'without a word'}"}
    try:
        return last_json(p.stdout)
    except ValueError:
        return {"missing": "printed no JSON"}


def measure(args, name, what, folder):
    if isinstance(what, str):
        return {"missing": what}
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads))
    if not name.startswith("autobidet"):
        peer, network, task = what
        command = [args.python, "measure.py", "--peer", peer, "--network", network, "--task", task]
        command += ["--runs", str(args.runs), "--threads", str(args.threads), "--device", args.device]
        command += ["--batch", str(args.batch), "--classes", str(args.classes), "--folder", folder]
        exported = os.path.join(folder, f"{network}.onnx")
        if peer == "onnxruntime" and os.path.exists(exported):
            command += ["--onnx", exported]
        return call(command, env, args.limit)
    env["RAYON_NUM_THREADS"] = str(args.threads)
    command = [args.autobidet, "bench", *what, "--batch", str(args.batch), "--classes", str(args.classes), "--json"]
    command += ["--runs" if what[0] == "infer" else "--steps", str(args.runs)]
    # The peers run on a CPU or on CUDA; so do we, on the twins or on the first GPU.
    command += ["--device", "cpu" if args.device == "cpu" else "auto"]
    found = call(command, env, args.limit)
    if "median_seconds" in found and what[0] == "infer":
        # The peers' time ends with the outputs in memory: before the boxes are decoded.
        found["with_decode_seconds"] = found["median_seconds"]
        found["median_seconds"] = found["forward_seconds"] + found["readback_seconds"]
        best = found.pop("best")
        found["best_seconds"] = best["forward_seconds"] + best["readback_seconds"]
        found.pop("layers", None)
    if "median_seconds" in found:
        found.pop("kernels", None)
        found["version"] = "autobidet"
        if "--no-batch-norm" not in what:
            # The same network on both sides? (`info` counts the float one with batch norms.)
            info = [args.autobidet, "info", "ssd300-vgg16", "--classes", str(args.classes), "--json"]
            found["parameters"] = call(info, env, args.limit).get("parameters")
    return found


def memory(args):
    """The most memory of a training step, by each side's own account."""
    peer = [args.python, "measure.py", "--peer", "torch", "--network", "bidet", "--task", "memory"]
    peer += ["--threads", str(args.threads), "--device", args.device, "--classes", str(args.classes)]
    ours = [args.autobidet, "info", "ssd300-vgg16", "--method", "bireal", "--classes", str(args.classes), "--json"]
    batch = ["--batch", str(args.memory_batch)]
    rows = {}
    for name, command in (("PyTorch", peer), ("autobidet", ours), ("autobidet --keep-maps", ours + ["--keep-maps"])):
        print(f"memory: {name}", file=sys.stderr, flush=True)
        found = call(command + batch, dict(os.environ), args.limit)
        # `info` tells of the whole network; its plan for training is what is asked for.
        rows[name] = found.get("training", found)
    return rows


def memory_table(args, rows):
    lines = ["", f"BiDet-SSD300, memory of a training step of {args.memory_batch}"]
    ours = rows["autobidet"].get("memory_bytes")
    for name, r in rows.items():
        if "memory_bytes" not in r:
            lines.append(f"  {name:<46} missing: {r.get('missing', 'no result')}")
            continue
        ratio = f"{r['memory_bytes'] / ours:>6.2f}x" if ours else f"{'-':>7}"
        lines.append(f"  {name:<46} {r['memory_bytes'] / 2**20:>7.0f} MiB {ratio}")
    return "\n".join(lines)


def load():
    """The machine's load over the last minute, where the system tells."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def processor():
    try:
        with open("/proc/cpuinfo") as f:
            for line in f:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def better(before, found):
    """Of two rounds the one with the smaller median, with the shortest run of both."""
    if before is None or "median_seconds" not in before or "median_seconds" not in found:
        return found if before is None or "median_seconds" in found else before
    kept = min(before, found, key=lambda r: r["median_seconds"])
    return kept | {"best_seconds": min(before["best_seconds"], found["best_seconds"])}


def all_rows(args):
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            for title, entries in ROWS:
                for name, what in entries:
                    key = (title, name)
                    before = results.get(key)
                    if before and "missing" in before and number > 0:
                        continue
                    print(f"round {number + 1}: {title}: {name}", file=sys.stderr, flush=True)
                    found = measure(args, name, what, folder) | {"load_before": load()}
                    results[key] = better(before, found)
    return results


def table(results):
    lines = []
    for title, entries in ROWS:
        sizes = {results[(title, n)].get("parameters") for n, _ in entries} - {None}
        ours = next((results[(title, n)] for n, _ in entries if n.startswith("autobidet")), {})
        lines += ["", title, f"  {'':<46} {'median':>10} {'ratio':>7} {'shortest':>11} {'ratio':>7} {'load':>5}"]
        for name, _ in entries:
            r = results[(title, name)]
            if "median_seconds" not in r:
                lines.append(f"  {name:<46} missing: {r.get('missing', 'no result')}")
                continue
            cells = ""
            for key, width in (("median_seconds", 7), ("best_seconds", 8)):
                ratio = f"{r[key] / ours[key]:>6.2f}x" if key in ours else f"{'-':>7}"
                cells += f" {r[key] * 1e3:>{width}.1f} ms {ratio}"
            busy = "-" if r.get("load_before") is None else f"{r['load_before']:.1f}"
            about = [r["version"]] if r["version"] != name and r["version"] != "autobidet" else []
            about += [r[k] for k in ("layout", "device") if k in r]
            lines.append(f"  {name:<46}{cells} {busy:>5}  {', '.join(about)}")
        if len(sizes) > 1:
            lines.append(f"  NOT THE SAME NETWORKS: they have {sorted(sizes)} parameters")
    binarized = results[("BiDet-SSD300, inference", "autobidet, exact file")]
    for name in ("PyTorch", "ONNX Runtime"):
        float_net = results[("float SSD300-VGG16, inference", name)]
        if "median_seconds" in binarized and "median_seconds" in float_net:
            ratio = binarized["median_seconds"] / float_net["median_seconds"]
            lines += ["", f"BiDet-SSD300 as an exact file takes {ratio:.2f} of the time of the float SSD300 in {name}"]
    return "\n".join(lines)


def binary():
    name = "autobidet.exe" if os.name == "nt" else "autobidet"
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.path.join(target, "release", name)


def main():
    p = argparse.ArgumentParser(prog="run", description="autobidet beside PyTorch and ONNX Runtime on this machine")
    p.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="threads of each [all cores]")
    p.add_argument("--json", metavar="FILE", help="leave everything that was measured here")
    p.add_argument("--runs", type=int, default=5, help="runs or steps of each measurement [5]")
    p.add_argument("--rounds", type=int, default=2, help="times that all of it is measured; the fastest counts [2]")
    p.add_argument("--batch", type=int, default=1, help="images at a time [1]")
    p.add_argument("--memory-batch", type=int, default=32, metavar="N",
                   help="images of the training step whose memory is compared [32: PyTorch takes 13 GiB]; 0: none")
    p.add_argument("--classes", type=int, default=20, help="classes without the background [20]")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="the peers' device; ours is its like [cpu]")
    p.add_argument("--autobidet", default=binary(), help="the program [target/release/autobidet]")
    p.add_argument("--python", default=sys.executable, help="the Python that has the peers")
    p.add_argument("--limit", type=int, default=600, help="seconds after which a measurement is given up [600]")
    args = p.parse_args()
    if args.threads < 1 or args.runs < 1 or args.rounds < 1:
        p.error("--threads, --runs and --rounds are at least 1")
    if not os.path.isfile(args.autobidet):
        p.error(f"{args.autobidet} is not there: build it with `cargo build --release`, or give --autobidet")
    args.autobidet = os.path.abspath(args.autobidet)
    if os.path.dirname(args.python):
        args.python = os.path.abspath(args.python)
    if args.json:
        # Minutes later it would be too late to say so.
        try:
            open(args.json, "a").close()
        except OSError as e:
            p.error(f"--json: {args.json} cannot be written: {e.strerror}")
    machine = {
        "processor": processor(),
        "system": platform.platform(terse=True),
        "threads": args.threads,
        "load_at_start": load(),
        "date": time.strftime("%Y-%m-%d"),
    }
    results = all_rows(args)
    machine["load_at_end"] = load()
    held = memory(args) if args.memory_batch > 0 else {}
    print(f"{machine['processor']}, {args.threads} threads, {machine['date']}; batch {args.batch}, {args.classes} classes")
    print(f"load over the last minute: {machine['load_at_start']} at the start, {machine['load_at_end']} at the end")
    # What is measured makes a load of its threads by itself.
    busiest = max((r.get("load_before") or 0 for r in results.values()), default=0)
    if busiest > args.threads + 0.5:
        print(f"THE MACHINE WAS BUSY with other work (load {busiest}): the ratios are not to be quoted")
    print(table(results))
    if held:
        print(memory_table(args, held))
    if args.json:
        rows = [{"row": t, "name": n} | results[(t, n)] for t, entries in ROWS for n, _ in entries]
        with open(args.json, "w") as f:
            memory_rows = [{"name": n, "batch": args.memory_batch} | r for n, r in held.items()]
            json.dump({"machine": machine, "rows": rows, "memory": memory_rows}, f, indent=1)
            f.write("\n")


if __name__ == "__main__":
    main()
