"""Writes tests/eval/voc_fixture.json: annotations, detections, and the VOC development kit's answers.

    python tests/eval/make_voc_fixture.py        # plain Python, no packages

`evaluate` restates the kit's MATLAB rule (VOCevaldet, VOCap) in plain loops: stable order by falling score, the object
of largest overlap whatever its state, `>=`, difficult objects neither way, precision and recall, both averages.
"""
import json, random
from pathlib import Path


def overlap(a, b, one):
    w = min(a[2], b[2]) - max(a[0], b[0]) + one
    h = min(a[3], b[3]) - max(a[1], b[1]) + one
    if w <= 0 or h <= 0:
        return float("-inf")
    area = lambda r: (r[2] - r[0] + one) * (r[3] - r[1] + one)
    return w * h / (area(a) + area(b) - w * h)


def evaluate(objects, found, rule, least, one, ignore):
    """objects: [image, box, difficult]; found: [image, score, box], one class. None without objects."""
    npos = sum(1 for o in objects if not (o[2] and ignore))
    taken, tp, fp = [False] * len(objects), [], []
    for image, _, box in sorted(found, key=lambda d: -d[1]):  # Python's sort is stable, as MATLAB's
        best, at = float("-inf"), None
        for j, o in enumerate(objects):
            if o[0] == image and overlap(box, o[1], one) > best:
                best, at = overlap(box, o[1], one), j
        t = f = 0
        if best >= least:
            if not (objects[at][2] and ignore):
                t, f = (0, 1) if taken[at] else (1, 0)
                taken[at] = True
        else:
            f = 1
        tp.append((tp[-1] if tp else 0) + t)
        fp.append((fp[-1] if fp else 0) + f)
    if npos == 0:
        return {"ap": None, "npos": 0, "tp": tp[-1] if tp else 0, "fp": fp[-1] if fp else 0}
    recall = [t / npos for t in tp]
    precision = [t / (t + f) if t + f else 0.0 for t, f in zip(tp, fp)]
    if rule == "voc07":
        # MATLAB's 0:0.1:1 counts up in the first half and down in the second.
        levels = [k * 0.1 for k in range(6)] + [1 - (10 - k) * 0.1 for k in range(6, 11)]
        ap = sum(max([p for p, r in zip(precision, recall) if r >= t], default=0.0) / 11 for t in levels)
    else:
        r, p = [0.0] + recall + [1.0], [0.0] + precision + [0.0]
        for k in range(len(p) - 2, -1, -1):
            p[k] = max(p[k], p[k + 1])
        ap = sum((r[k] - r[k - 1]) * p[k] for k in range(1, len(r)) if r[k] != r[k - 1])
    return {"ap": ap, "npos": npos, "tp": tp[-1] if tp else 0, "fp": fp[-1] if fp else 0}


def main():
    rng = random.Random(3)
    classes = ["RBC", "dining_table", "no objects", "nothing found"]
    images = [f"{i:06}" for i in range(30)]
    objects, found = [], []
    for image in range(30):
        for _ in range(rng.randrange(0, 7)):
            x, y = rng.randrange(1, 300), rng.randrange(1, 300)
            box = [x, y, x + rng.randrange(5, 90), y + rng.randrange(5, 90)]
            c = rng.choice([0, 0, 1, 3])
            objects.append([image, c, box, rng.random() < 0.2])
            for _ in range(rng.choice([0, 1, 1, 2, 3]) if c != 3 else 0):
                j = rng.choice([0, 2, 6, 15])
                found.append([image, c, round(rng.random(), rng.choice([1, 3])),
                              [v + rng.choice([rng.randrange(-j, j + 1), round(rng.uniform(-j, j), 2)]) for v in box]])
            if c == 0 and rng.random() < 0.3:  # overlap of exactly one half, continuous
                found.append([image, c, round(rng.random(), 1), box[:3] + [(box[1] + box[3]) / 2]])
        for _ in range(rng.randrange(0, 4)):
            x, y = rng.randrange(1, 300), rng.randrange(1, 300)
            found.append([image, rng.choice([0, 1, 2]), round(rng.random(), 1), [x, y, x + 40, y + 30]])
    rng.shuffle(found)  # the order of the file decides between equal scores
    cases = []
    for metric in ("voc07", "voc"):
        for least in (0.5, 0.7):
            for pixels in ("continuous", "inclusive"):
                for difficult in ("ignore", "count"):
                    per = {}
                    for c, name in enumerate(classes):
                        per[name] = evaluate([[o[0], o[2], o[3]] for o in objects if o[1] == c],
                                             [[d[0], d[2], d[3]] for d in found if d[1] == c],
                                             metric, least, int(pixels == "inclusive"), difficult == "ignore")
                    aps = [r["ap"] for r in per.values() if r["ap"] is not None]
                    cases.append({"metric": metric, "iou": least, "pixels": pixels, "difficult": difficult,
                                  "map": sum(aps) / len(aps), "per_class": per})
    data = {"classes": classes, "images": images, "objects": objects, "detections": found}
    lines = [f'"{k}": ' + json.dumps(v, separators=(",", ":")) for k, v in data.items()]
    lines.append('"cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]")
    path = Path(__file__).with_name("voc_fixture.json")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{len(found)} detections of {len(objects)} objects, {len(cases)} cases -> {path}")


if __name__ == "__main__":
    main()
