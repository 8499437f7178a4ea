"""Writes tests/eval/coco_fixture.json: annotations, detections, and what pycocotools says of them.

    pip install pycocotools numpy
    python tests/eval/make_coco_fixture.py                                   # synthetic, the committed fixture
    python tests/eval/make_coco_fixture.py --annotations instances.json --out FILE
    AUTOBIDET_COCO_FIXTURE=FILE cargo test --release --test tests eval::     # checks FILE as well

Detections are jittered copies of objects, copies of a wrong class, detections inside crowds, random boxes, many equal
scores, and one image with more than 100 detections of a class. Numbers have at most two decimals, as COCO's boxes.
"""
import argparse, contextlib, io, json, random
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def synthetic(rng):
    categories = [{"id": i, "name": f"class {i}"} for i in (1, 2, 5, 7, 90, 91)]
    # Ids are out of order on purpose: pycocotools goes by rising id.
    images = [{"id": i, "width": 640, "height": 480} for i in rng.sample(range(1, 1000), 40)]
    annotations = []

    def add(image, category, box, area, crowd):
        annotations.append({"id": len(annotations) + 1, "image_id": image["id"], "category_id": category,
                            "bbox": box, "area": area, "iscrowd": crowd})

    for image in images[:-3]:  # three images without objects
        for _ in range(rng.randrange(0, 9)):
            category = rng.choice([1, 1, 1, 2, 2, 5, 7])  # 90: detections only; 91: neither
            w, h = (round(rng.choice([12, 32, 60, 96, 200]) * rng.uniform(0.6, 1.6), 2) for _ in "wh")
            if rng.random() < 0.15:
                w = h = rng.choice([32.0, 96.0])  # area exactly at a limit of the size ranges
            x, y = round(rng.uniform(0, 640 - w), 2), round(rng.uniform(0, 480 - h), 2)
            crowd = int(rng.random() < 0.12)
            area = w * h if w in (32.0, 96.0) else round(w * h * rng.uniform(0.4, 1.0), 3)
            if rng.random() < 0.3:  # whole pixels, even heights: half a box overlaps it by exactly 0.5
                x, y, w, h = float(int(x)), float(int(y)), float(int(w)), float(int(h) // 2 * 2)
            add(image, category, [x, y, w, h], area, crowd)
            twin = rng.random()
            if twin < 0.1:  # the same box again: a tie between objects
                add(image, category, [x, y, w, h], area, 0)
            elif twin < 0.25:  # a near one that a size range or a crowd flag may ignore
                near = [round(x + rng.uniform(-4, 4), 2), round(y + rng.uniform(-4, 4), 2), w, h]
                add(image, category, near, rng.choice([900.0, 1024.0, 5000.0, 9216.0, 20000.0]),
                    int(rng.random() < 0.5))
    return {"images": images, "annotations": annotations, "categories": categories}


def detections(rng, truth, most):
    out = []
    used = sorted({a["category_id"] for a in truth["annotations"]})
    known = [c["id"] for c in truth["categories"]]
    spare = [c for c in known if c not in used][:1]

    def add(image, category, box, score):
        x, y, w, h = box
        out.append({"image_id": image, "category_id": category,
                    "bbox": [round(x, 2), round(y, 2), round(max(w, 0), 2), round(max(h, 0), 2)],
                    "score": score})

    def score():
        # Half of the scores have one decimal: many are equal, within an image and between images.
        return round(rng.random(), rng.choice([1, 4]))

    for a in truth["annotations"]:
        x, y, w, h = a["bbox"]
        if a["iscrowd"]:
            for _ in range(4):
                add(a["image_id"], a["category_id"],
                    [x + w * rng.uniform(-0.1, 0.7), y + h * rng.uniform(-0.1, 0.7), w * 0.4, h * 0.4], score())
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            j = rng.choice([0, 0.03, 0.08, 0.2])
            box = [x + w * rng.uniform(-j, j), y + h * rng.uniform(-j, j),
                   w * (1 + rng.uniform(-j, j)), h * (1 + rng.uniform(-j, j))]
            add(a["image_id"], a["category_id"], box, score())
        if rng.random() < 0.2:
            add(a["image_id"], rng.choice(used), [x, y, w, h], score())  # often the wrong class
        if rng.random() < 0.15:
            add(a["image_id"], a["category_id"], [x, y, w, h / 2], 0.95 + score() / 20)  # overlap of exactly 0.5
    for image in truth["images"]:
        for _ in range(rng.randrange(0, 6)):
            w, h = rng.uniform(5, 300), rng.uniform(5, 300)
            add(image["id"], rng.choice(used + spare), [rng.uniform(0, 500), rng.uniform(0, 400), w, h], score())
    busy = truth["annotations"][0]
    for _ in range(most):
        x, y, w, h = busy["bbox"]
        add(busy["image_id"], busy["category_id"],
            [x + rng.uniform(-60, 60), y + rng.uniform(-60, 60), w, h], score())
    rng.shuffle(out)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--annotations")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", default=str(Path(__file__).with_name("coco_fixture.json")))
    args = parser.parse_args()
    rng = random.Random(args.seed)
    if args.annotations:
        truth = json.load(open(args.annotations))
        truth = {k: truth[k] for k in ("images", "annotations", "categories")}
    else:
        truth = synthetic(rng)
    found = detections(rng, truth, 140)

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth | {"info": {}}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes([dict(d) for d in found]), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    per_class = {}
    for k, category in enumerate(run.params.catIds):
        p = run.eval["precision"][:, :, k, 0, 2]
        per_class[coco.cats[category]["name"]] = float(p[p > -1].mean()) if (p > -1).any() else -1.0

    data = {
        "categories": [[c["id"], c["name"]] for c in truth["categories"]],
        "images": [i["id"] for i in truth["images"]],
        "annotations": [[a["image_id"], a["category_id"], a["bbox"], a["area"], a["iscrowd"]]
                        for a in truth["annotations"]],
        "detections": [[d["image_id"], d["category_id"], d["bbox"], d["score"]] for d in found],
        "stats": [float(v) for v in run.stats],
        "per_class": per_class,
    }
    lines = ",\n".join(f'"{k}": ' + json.dumps(v, separators=(",", ":")) for k, v in data.items())
    Path(args.out).write_text("{\n" + lines + "\n}\n")
    print(f"{len(found)} detections of {len(truth['annotations'])} objects; AP {run.stats[0]:.4f} -> {args.out}")


if __name__ == "__main__":
    main()
