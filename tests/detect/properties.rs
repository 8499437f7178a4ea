//! What must hold for any boxes.

use autobidet::detect::codec::{decode_box, to_centre, to_corners};
use autobidet::detect::{
    DecodeOptions, Matched, Matcher, PriorMap, PriorSpec, VARIANCES, decode_boxes, decode_detections, encode_box, iou,
    nms,
};

use super::Draw;

#[test]
fn iou_is_symmetric_and_bounded() {
    let mut draw = Draw::new(1);
    for _ in 0..20_000 {
        let (a, b) = (draw.corners(0.001), draw.corners(0.001));
        let v = iou(&a, &b, false);
        assert!((0.0..=1.0).contains(&v));
        assert_eq!(v, iou(&b, &a, false));
        assert!((iou(&a, &a, false) - 1.0).abs() < 1e-6);
        let far = a.map(|v| v + 2.0);
        assert_eq!(iou(&a, &far, false), 0.0);
    }
    // Two 10-pixel boxes that share a 10x5 strip; inclusive: 11-pixel boxes that share 11x6.
    let (a, b) = ([0., 0., 10., 10.], [0., 5., 10., 15.]);
    assert!((iou(&a, &b, false) - 50.0 / 150.0).abs() < 1e-6);
    assert!((iou(&a, &b, true) - 66.0 / 176.0).abs() < 1e-6);
}

#[test]
fn iou_of_broken_boxes_is_a_number() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1.0, f32::MAX];
    for n in 0..odd.len().pow(4) {
        let a = [odd[n % 6], odd[n / 6 % 6], odd[n / 36 % 6], odd[n / 216]];
        for b in [a, [0., 0., 1., 1.]] {
            let v = iou(&a, &b, n % 2 == 0);
            assert!((0.0..=1.0).contains(&v), "{a:?} {b:?}: {v}");
        }
    }
}

#[test]
fn decode_inverts_encode() {
    let mut draw = Draw::new(2);
    let priors = PriorSpec::ssd300_voc().generate().unwrap();
    for _ in 0..20_000 {
        let prior = priors[draw.below(8732) as usize];
        let corners = draw.corners(0.01);
        let back = decode_box(encode_box(corners, prior, VARIANCES), prior, VARIANCES);
        for k in 0..4 {
            assert!((back[k] - corners[k]).abs() < 2e-6, "{corners:?} {back:?}");
        }
        let again = to_corners(to_centre(corners));
        for k in 0..4 {
            assert!((again[k] - corners[k]).abs() < 1e-6);
        }
    }
}

#[test]
fn decode_reads_the_last_four_channels() {
    let priors = [[0.5, 0.5, 0.2, 0.4], [0.25, 0.75, 0.1, 0.1]];
    let four: Vec<f32> = vec![1., -1., 0.5, 0.25, 0., 2., -1., 1.];
    let mut eight = Vec::new();
    for row in four.chunks(4) {
        eight.extend([9.0f32; 4]);
        eight.extend(row);
    }
    assert_eq!(
        decode_boxes(&four, 4, &priors, VARIANCES).unwrap(),
        decode_boxes(&eight, 8, &priors, VARIANCES).unwrap()
    );
    assert!(decode_boxes(&four, 8, &priors, VARIANCES).is_err());
    assert!(decode_boxes(&four, 0, &priors, VARIANCES).is_err());
}

/// Greedy suppression as it is defined, without any of the implementation's arrangements.
fn plain_nms(boxes: &[[f32; 4]], scores: &[f32], threshold: f32, top_k: usize, plus_one: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&i| !scores[i].is_nan()).collect();
    order.sort_by(|&a, &b| scores[b].partial_cmp(&scores[a]).unwrap());
    order.truncate(top_k);
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        if kept.iter().all(|&k| iou(&boxes[k], &boxes[i], plus_one) <= threshold) {
            kept.push(i);
        }
    }
    kept
}

#[test]
fn nms_is_the_definition_and_idempotent() {
    let mut draw = Draw::new(3);
    for round in 0..300 {
        let n = draw.below(300) as usize;
        let plus_one = round % 3 == 0;
        let scale = if plus_one { 300.0 } else { 1.0 };
        let boxes: Vec<[f32; 4]> = (0..n).map(|_| draw.corners(0.05).map(|v| v * scale)).collect();
        // Scores of few values, so that many are equal; now and then NaN.
        let scores: Vec<f32> =
            (0..n).map(|_| if draw.below(20) == 0 { f32::NAN } else { draw.below(12) as f32 / 12.0 }).collect();
        let top_k = [usize::MAX, 200, 50, 1, 0][round % 5];
        let threshold = [0.45, 0.3, 0.5, 0.0, 1.0][draw.below(5) as usize];
        let kept = nms(&boxes, &scores, threshold, top_k, plus_one).unwrap();
        assert_eq!(kept, plain_nms(&boxes, &scores, threshold, top_k, plus_one));
        let (again_boxes, again_scores): (Vec<_>, Vec<_>) = kept.iter().map(|&i| (boxes[i], scores[i])).unzip();
        let again = nms(&again_boxes, &again_scores, threshold, top_k, plus_one).unwrap();
        assert_eq!(again, (0..kept.len()).collect::<Vec<_>>());
    }
}

#[test]
fn nms_edges() {
    assert!(nms(&[], &[], 0.5, 200, false).unwrap().is_empty());
    assert!(nms(&[[0.; 4]], &[], 0.5, 200, false).is_err());
    // Equal scores: the lower index wins. IoU of exactly the threshold is kept.
    let strip = [[0., 0., 2., 2.], [0., 0., 2., 2.], [0., 0., 2., 1.]];
    assert_eq!(nms(&strip, &[0.5, 0.5, 0.4], 0.5, 200, false).unwrap(), [0, 2]);
    // Empty boxes in one place overlap nothing, and NaN coordinates do not panic.
    let odd = [[1., 1., 1., 1.], [1., 1., 1., 1.], [f32::NAN; 4]];
    assert_eq!(nms(&odd, &[0.1, 0.2, f32::INFINITY], 0.5, 200, false).unwrap(), [2, 1, 0]);
}

/// Matching as it is written down: a matrix of overlaps, and loops.
fn plain_match(priors: &[[f32; 4]], boxes: &[[f32; 4]], classes: &[u32]) -> (Vec<[f32; 4]>, Vec<u32>) {
    let corners: Vec<[f32; 4]> = priors.iter().map(|&p| to_corners(p)).collect();
    let table: Vec<Vec<f32>> = boxes.iter().map(|b| corners.iter().map(|p| iou(b, p, false)).collect()).collect();
    let mut owner = vec![0; priors.len()];
    let mut best = vec![0.0f32; priors.len()];
    for p in 0..priors.len() {
        for g in 0..boxes.len() {
            if table[g][p] > best[p] {
                (best[p], owner[p]) = (table[g][p], g);
            }
        }
    }
    for g in 0..boxes.len() {
        let mut at = 0;
        for p in 0..priors.len() {
            if table[g][p] > table[g][at] {
                at = p;
            }
        }
        (best[at], owner[at]) = (2.0, g);
    }
    let conf = (0..priors.len()).map(|p| if best[p] >= 0.5 { classes[owner[p]] + 1 } else { 0 }).collect();
    let loc = (0..priors.len()).map(|p| encode_box(boxes[owner[p]], priors[p], VARIANCES)).collect();
    (loc, conf)
}

#[test]
fn matching_is_the_definition() {
    let mut draw = Draw::new(4);
    let priors = PriorSpec::ssd300_voc().generate().unwrap();
    let matcher = Matcher::new(&priors, 0.5, VARIANCES);
    for n in [1, 2, 3, 8, 15, 60] {
        let mut boxes: Vec<[f32; 4]> = (0..n).map(|_| draw.corners(0.01)).collect();
        let classes: Vec<u32> = (0..n as u32).map(|i| i % 20).collect();
        if n > 2 {
            boxes[2] = boxes[0]; // contested: the later box wins
        }
        let got = matcher.matches(&boxes, &classes).unwrap();
        let (loc, conf) = plain_match(&priors, &boxes, &classes);
        assert_eq!(got.conf, conf);
        assert_eq!(got.positives, conf.iter().filter(|&&c| c > 0).count());
        for (g, w) in got.loc.as_flattened().iter().zip(loc.as_flattened()) {
            assert!((g - w).abs() <= 1e-4 * w.abs().max(1.0), "{g} {w}");
        }
    }
}

#[test]
fn matching_edges() {
    let priors = PriorSpec::ssd300_voc().generate().unwrap();
    let matcher = Matcher::new(&priors, 0.5, VARIANCES);
    let none = matcher.matches(&[], &[]).unwrap();
    assert_eq!((none.positives, none.skipped, none.conf.len()), (0, 0, 8732));
    assert!(none.conf.iter().all(|&c| c == 0) && none.loc.as_flattened().iter().all(|&v| v == 0.0));

    // The later of two equal boxes owns their prior.
    let twice = matcher.matches(&[[0.2, 0.2, 0.4, 0.4]; 2], &[3, 7]).unwrap();
    assert!(twice.conf.contains(&8));

    // What has no finite target is left out and counted; the good box stays.
    let bad = [
        [0.5, 0.5, 0.5, 0.7],
        [0.5, 0.5, 0.7, 0.5],
        [0.7, 0.7, 0.5, 0.5],
        [f32::NAN, 0.1, 0.2, 0.3],
        [0.1, 0.1, f32::INFINITY, 0.3],
        [0.1, 0.1, 0.1 + 1e-9, 0.3],
        [5.0, 5.0, 6.0, 6.0],
        [0.1, 0.1, 0.6, 0.6],
    ];
    let got = matcher.matches(&bad, &[0, 1, 2, 3, 4, 5, 6, 9]).unwrap();
    assert_eq!(got.skipped, 7);
    assert!(got.loc.as_flattened().iter().all(|v| v.is_finite()));
    assert!(got.positives > 0 && got.conf.iter().all(|&c| c == 0 || c == 10));
    assert_eq!(got, Matched { skipped: 7, ..matcher.matches(&bad[7..], &[9]).unwrap() });

    assert!(matcher.matches(&bad, &[0]).is_err());
    let nothing = Matcher::new(&[], 0.5, VARIANCES).matches(&[[0.1, 0.1, 0.2, 0.2]], &[0]).unwrap();
    assert_eq!((nothing.conf.len(), nothing.skipped), (0, 1));
}

#[test]
fn priors_of_other_networks() {
    let maps = vec![
        PriorMap::new(20, 8.0, 12.0, 65.0, &[2.0]),
        PriorMap::new(10, 16.0, 40.0, 73.0, &[2.0]).with_squares(2),
        PriorMap::new(5, 32.0, 72.0, 103.0, &[]).with_squares(0),
        PriorMap::new(3, 160.0 / 3.0, 110.0, 154.0, &[2.0, 3.0]),
    ];
    let spec = PriorSpec::new(160.0, maps, false).unwrap();
    assert_eq!(spec.boxes_per_cell(), [4, 5, 1, 6]);
    let priors = spec.generate().unwrap();
    assert_eq!(priors.len(), 400 * 4 + 100 * 5 + 25 + 9 * 6);
    assert_eq!(priors.len(), spec.len());
    assert_eq!(priors[0], [0.025, 0.025, 0.075, 0.075]);
    // The two squares of the second map: 40·(73/40)^(1/3) and 40·(73/40)^(2/3) pixels.
    let side = |k: usize| f64::from(priors[1600 + k][2]) * 160.0;
    assert!((side(1) - 40.0 * (73.0f64 / 40.0).cbrt()).abs() < 1e-4);
    assert!((side(2) - 73.0 / (73.0f64 / 40.0).cbrt()).abs() < 1e-4);
    // The middle cell of the last map is the middle of the image.
    let middle = priors[priors.len() - 5 * 6];
    assert!((middle[0] - 0.5).abs() < 1e-6 && (middle[1] - 0.5).abs() < 1e-6);
    // Every prior of one ratio has the small square's area.
    let wide = priors[2];
    assert!((wide[2] / wide[3] - 2.0).abs() < 1e-5 && (wide[2] * wide[3] - 0.075 * 0.075).abs() < 1e-7);

    let text = serde_json::to_string(&spec).unwrap();
    assert_eq!(serde_json::from_str::<PriorSpec>(&text).unwrap(), spec);
}

#[test]
fn impossible_priors_are_refused() {
    let good = PriorMap::new(4, 8.0, 10.0, 20.0, &[2.0]);
    let refused = |size: f64, map: PriorMap, word: &str| {
        let e = PriorSpec::new(size, vec![map], true).unwrap_err().to_string();
        assert!(e.contains(word), "{e}");
    };
    refused(0.0, good.clone(), "image_size");
    refused(f64::NAN, good.clone(), "image_size");
    refused(100.0, PriorMap { step: -1.0, ..good.clone() }, "maps[0].step");
    refused(100.0, PriorMap { min: f64::INFINITY, ..good.clone() }, "maps[0].min");
    refused(100.0, PriorMap { max: 5.0, ..good.clone() }, "less than min");
    refused(100.0, PriorMap { aspect_ratios: vec![2.0, 0.0], ..good.clone() }, "aspect_ratios");
    refused(100.0, PriorMap { cells: 0, ..good.clone() }, "no prior");
    refused(100.0, PriorMap { cells: usize::MAX, ..good.clone() }, "more than");
    refused(100.0, PriorMap { squares: usize::MAX - 5, ..good }, "more than");
}

#[test]
fn detections_of_one_image() {
    // Three priors, two classes. Prior 1 overlaps prior 0 and is suppressed in class 0, not in class 1.
    let boxes = [[0.1, 0.1, 0.5, 0.5], [0.12, 0.1, 0.52, 0.5], [0.9, 0.9, 1.2, 1.2]];
    let scores = [0.05, 0.9, 0.05, 0.2, 0.7, 0.1, 0.3, 0.01, 0.69];
    let got = decode_detections(&scores, &boxes, (200.0, 100.0), &DecodeOptions::default()).unwrap();
    let brief: Vec<(usize, f32)> = got.detections.iter().map(|d| (d.class, d.score)).collect();
    // 0.01 is not greater than the threshold of 0.01; 0.05 of prior 0 is suppressed by 0.1 of prior 1 in class 1.
    assert_eq!(brief, [(0, 0.9), (1, 0.69), (1, 0.1)]);
    assert!((got.detections[1].bbox.xmax - 240.0).abs() < 1e-3);
    assert_eq!(got.not_finite, 0);

    let clip = DecodeOptions { clip: true, max_detections: Some(2), ..Default::default() };
    let got = decode_detections(&scores, &boxes, (200.0, 100.0), &clip).unwrap();
    assert_eq!(got.detections.len(), 2);
    assert_eq!((got.detections[1].bbox.xmax, got.detections[1].bbox.ymax), (200.0, 100.0));
}

#[test]
fn detections_of_a_diverged_network() {
    let options = DecodeOptions::default();
    let boxes = [[f32::NAN; 4], [0.0, 0.0, f32::INFINITY, 1.0], [0.0, 0.0, 1.0, 1.0]];
    let scores = [0.1, 0.9, 0.1, 0.9, 0.2, f32::NAN];
    let got = decode_detections(&scores, &boxes, (10.0, 10.0), &options).unwrap();
    assert_eq!((got.detections.len(), got.not_finite), (0, 3));
    // A prior below the threshold is no concern, whatever its box.
    let got = decode_detections(&[1.0, 0.0, 1.0, 0.0, 1.0, 0.0], &boxes, (10.0, 10.0), &options).unwrap();
    assert_eq!((got.detections.len(), got.not_finite), (0, 0));
    assert_eq!(decode_detections(&[], &[], (10.0, 10.0), &options).unwrap().detections.len(), 0);
    for (scores, boxes) in [(&[0.5f32; 5][..], &boxes[..]), (&[0.5; 3], &boxes), (&[], &boxes), (&[0.5], &[])] {
        assert!(decode_detections(scores, boxes, (10.0, 10.0), &options).is_err());
    }
}

/// Loader threads match every image, evaluation decodes every image: neither may become the slow part.
#[test]
fn speed_is_printed() {
    let mut draw = Draw::new(5);
    let priors = PriorSpec::ssd300_voc().generate().unwrap();
    let matcher = Matcher::new(&priors, 0.5, VARIANCES);
    let boxes: Vec<[f32; 4]> = (0..15).map(|_| draw.corners(0.02)).collect();
    let best = |work: &mut dyn FnMut()| {
        let time = |w: &mut dyn FnMut()| {
            let start = std::time::Instant::now();
            w();
            start.elapsed().as_secs_f64() * 1e3
        };
        (0..50).map(|_| time(work)).fold(f64::INFINITY, f64::min)
    };
    let matching = best(&mut || assert!(matcher.matches(&boxes, &[1; 15]).unwrap().positives > 0));
    let corners: Vec<[f32; 4]> = (0..8732).map(|_| draw.corners(0.05)).collect();
    let scores: Vec<f32> = (0..8732 * 21).map(|_| draw.unit() * 0.05).collect();
    let mut found = 0;
    let decoding = best(&mut || {
        found =
            decode_detections(&scores, &corners, (500.0, 375.0), &DecodeOptions::default()).unwrap().detections.len();
    });
    println!(
        "matching 15 boxes with 8732 priors: {matching:.3} ms; decoding 8732 x 21 ({found} found): {decoding:.3} ms"
    );
    assert!(found > 2000 && found <= 4000);
}
