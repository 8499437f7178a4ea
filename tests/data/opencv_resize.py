"""Writes opencv_resize.json: small random images and what OpenCV's INTER_LINEAR makes of them.

Needs numpy and opencv-python-headless; 4.10.0 and 5.0.0 give the same file.
"""

import json
import os

import cv2
import numpy as np

SIZES = [
    ((7, 5), (12, 9)),
    ((13, 11), (5, 5)),
    ((9, 9), (18, 18)),
    ((40, 30), (16, 16)),
    ((1, 1), (4, 4)),
    ((32, 32), (16, 16)),
    ((2, 3), (7, 7)),
    ((11, 8), (11, 8)),
    ((50, 37), (30, 30)),
    ((3, 64), (20, 5)),
]

rng = np.random.default_rng(20)
cases = []
for (w, h), (out_w, out_h) in SIZES:
    image = rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
    result = cv2.resize(image, (out_w, out_h), interpolation=cv2.INTER_LINEAR)
    cases.append({"from": [w, h], "to": [out_w, out_h], "rgb": image.tobytes().hex(), "result": result.tobytes().hex()})
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "opencv_resize.json"), "w") as out:
    json.dump(cases, out, indent=0)
    out.write("\n")
