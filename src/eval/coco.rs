//! COCO's numbers as pycocotools computes them for boxes.
//!
//! For every class, size range and overlap threshold t, an image's objects go with the ignored ones last (crowd, or
//! outside the size range), its detections by falling score, at most 100. A detection takes the free object that it
//! overlaps most, at least `min(t, 1 - 1e-10)`, the later of equals; ignored objects are looked at only where no other
//! matched; a crowd object may be taken any number of times and its overlap is intersection / detection area. A
//! detection that matched an ignored object, or matched nothing and lies outside the size range, does not count.

use crate::data::Dataset;

use super::average::{Outcome, Ranking, Rule, falling};
use super::boxes::{ByClass, Candidate, Rect, Truth};

/// Overlap thresholds .5:.05:.95.
const THRESHOLDS: usize = 10;
/// Size ranges: all, small, medium, large; limits in square pixels, both ends belong to the range.
const RANGES: [(f64, f64); 4] = [(0.0, 1e10), (0.0, 1024.0), (1024.0, 9216.0), (9216.0, 1e10)];
/// The most detections of a class in an image.
const MAX_DETECTIONS: [usize; 3] = [1, 10, 100];

/// The numbers of one class that the summary averages; none where no object counts.
#[derive(Debug, Clone)]
pub(super) struct ClassScores {
    /// By size range, then threshold.
    precision: [Option<[f64; THRESHOLDS]>; 4],
    /// At most 1, 10, 100 detections over all sizes, then 100 of small, medium, large; by threshold.
    recall: [Option<[f64; THRESHOLDS]>; 6],
}

/// numpy's `linspace(.5, .95, 10)`, number k.
fn threshold(k: usize) -> f64 {
    if k == THRESHOLDS - 1 { 0.95 } else { k as f64 * ((0.95 - 0.5) / 9.0) + 0.5 }
}

/// The rank of every image: by numeric id where all ids are numbers, as pycocotools goes through them; else the data
/// set's order. It decides between equal scores of different images.
pub(super) fn image_order(dataset: &Dataset) -> Vec<u32> {
    let n = dataset.images.len();
    let ids: Option<Vec<u64>> = dataset.images.iter().map(|r| r.id.parse().ok()).collect();
    let Some(ids) = ids else { return (0..n as u32).collect() };
    let mut sorted: Vec<u32> = (0..n as u32).collect();
    sorted.sort_by_key(|&i| ids[i as usize]);
    let mut rank = vec![0; n];
    for (place, &image) in sorted.iter().enumerate() {
        rank[image as usize] = place as u32;
    }
    rank
}

/// Matches and scores one class. `order` is [`image_order`]. The ranking is that of all sizes.
pub(super) fn score(class: &ByClass, order: &[u32]) -> (Ranking, ClassScores) {
    let place = |image: u32| order[image as usize];
    let mut truths: Vec<&Truth> = class.truths.iter().collect();
    truths.sort_by_key(|t| place(t.image));
    let mut found: Vec<&Candidate> = class.found.iter().collect();
    // Stable in both steps: an image's equal scores stay in the order they were given.
    found.sort_by(|a, b| place(a.image).cmp(&place(b.image)).then(falling(a.score, b.score)));

    let mut kept: Vec<&Candidate> = Vec::with_capacity(found.len());
    let mut rank_in_image: Vec<u32> = Vec::with_capacity(found.len());
    let mut outcomes: [[Vec<Outcome>; THRESHOLDS]; 4] = Default::default();
    let mut objects = [0u64; 4];
    let mut positives: Vec<(u32, u32)> = Vec::new();
    let (mut t, mut f) = (0, 0);
    while t < truths.len() || f < found.len() {
        let next = |list: Option<u32>| list.map_or(u32::MAX, place);
        let truth = truths.get(t).map(|t| t.image);
        let image = match (truth, found.get(f).map(|c| c.image)) {
            (Some(a), b) if next(Some(a)) <= next(b) => a,
            (_, Some(b)) => b,
            (Some(a), None) => a,
            (None, None) => break,
        };
        let t_end = t + truths[t..].iter().take_while(|t| t.image == image).count();
        let f_end = f + found[f..].iter().take_while(|c| c.image == image).count();
        let shown = &found[f..f_end.min(f + MAX_DETECTIONS[2])];
        match_image(&truths[t..t_end], shown, &mut outcomes, &mut objects);
        let counting = truths[t..t_end].iter().filter(|t| !t.ignore && in_range(t.area, RANGES[0])).count() as u32;
        if counting > 0 {
            positives.push((image, counting));
        }
        kept.extend(shown);
        rank_in_image.extend(0..shown.len() as u32);
        (t, f) = (t_end, f_end);
    }

    let mut by_score: Vec<usize> = (0..kept.len()).collect();
    by_score.sort_by(|&a, &b| falling(kept[a].score, kept[b].score));
    let recall = |range: usize, most: usize| {
        (objects[range] > 0).then(|| {
            std::array::from_fn(|k| {
                let hit = |(o, &rank): (&Outcome, &u32)| *o == Outcome::TruePositive && (rank as usize) < most;
                let tp = outcomes[range][k].iter().zip(&rank_in_image).filter(|&pair| hit(pair)).count();
                tp as f64 / objects[range] as f64
            })
        })
    };
    let recall = [recall(0, 1), recall(0, 10), recall(0, 100), recall(1, 100), recall(2, 100), recall(3, 100)];

    // One ranking a size range; only the counts of objects differ, which the curve takes from `positives`.
    let ranking = |range: usize, positives: Vec<(u32, u32)>| Ranking {
        scores: by_score.iter().map(|&i| kept[i].score).collect(),
        images: by_score.iter().map(|&i| kept[i].image).collect(),
        outcomes: outcomes[range].iter().map(|list| by_score.iter().map(|&i| list[i]).collect()).collect(),
        positives,
    };
    let area = |r: &Ranking| -> Option<[f64; THRESHOLDS]> {
        (r.objects(None) > 0)
            .then(|| std::array::from_fn(|k| r.average_precision(k, Rule::Coco, None).unwrap_or_default()))
    };
    let all = ranking(0, positives);
    let sized = |range: usize| area(&ranking(range, vec![(0, objects[range] as u32)]));
    let precision = [area(&all), sized(1), sized(2), sized(3)];
    (all, ClassScores { precision, recall })
}

fn in_range(area: f64, (low, high): (f64, f64)) -> bool {
    !(area < low || area > high)
}

/// Matches one image's objects and detections (by falling score) for every size range and threshold, and appends the
/// outcomes; adds the objects that count to `objects`.
fn match_image(
    truths: &[&Truth],
    found: &[&Candidate],
    outcomes: &mut [[Vec<Outcome>; THRESHOLDS]; 4],
    objects: &mut [u64; 4],
) {
    let overlaps: Vec<f64> =
        found.iter().flat_map(|d| truths.iter().map(|t| overlap(&d.bbox, &t.rect, t.crowd))).collect();
    let mut taken = vec![false; truths.len()];
    for (r, &range) in RANGES.iter().enumerate() {
        let ignored: Vec<bool> = truths.iter().map(|t| t.ignore || !in_range(t.area, range)).collect();
        objects[r] += ignored.iter().filter(|&&i| !i).count() as u64;
        let mut order: Vec<usize> = (0..truths.len()).collect();
        order.sort_by_key(|&g| ignored[g]);
        for k in 0..THRESHOLDS {
            taken.fill(false);
            for (d, detection) in found.iter().enumerate() {
                let mut best = threshold(k).min(1.0 - 1e-10);
                let mut matched: Option<usize> = None;
                for &g in &order {
                    if taken[g] && !truths[g].crowd {
                        continue;
                    }
                    if matched.is_some_and(|m| !ignored[m]) && ignored[g] {
                        break;
                    }
                    let v = overlaps[d * truths.len() + g];
                    if v >= best {
                        (best, matched) = (v, Some(g));
                    }
                }
                outcomes[r][k].push(match matched {
                    Some(g) => {
                        taken[g] = true;
                        if ignored[g] { Outcome::Ignored } else { Outcome::TruePositive }
                    }
                    None if in_range(detection.bbox.w * detection.bbox.h, range) => Outcome::FalsePositive,
                    None => Outcome::Ignored,
                });
            }
        }
    }
}

/// Intersection over union; over the detection's own area for a crowd object.
fn overlap(d: &Rect, g: &Rect, crowd: bool) -> f64 {
    let w = (d.w + d.x).min(g.w + g.x) - d.x.max(g.x);
    let h = (d.h + d.y).min(g.h + g.y) - d.y.max(g.y);
    if w <= 0.0 || h <= 0.0 {
        return 0.0;
    }
    let inter = w * h;
    inter / if crowd { d.w * d.h } else { d.w * d.h + g.w * g.h - inter }
}

/// AP, AP50, AP75, AP small, medium, large, AR at 1, 10, 100, AR small, medium, large; -1 where undefined.
pub(super) fn summarize(classes: &[ClassScores]) -> [f64; 12] {
    let mean = |values: &mut dyn Iterator<Item = f64>| super::mean(values).unwrap_or(-1.0);
    let precision = |range: usize| classes.iter().filter_map(move |c| c.precision[range]);
    let at = |k: usize| mean(&mut precision(0).map(|p| p[k]));
    let ap = |range: usize| mean(&mut precision(range).flatten());
    let ar = |n: usize| mean(&mut classes.iter().filter_map(|c| c.recall[n]).flatten());
    [ap(0), at(0), at(5), ap(1), ap(2), ap(3), ar(0), ar(1), ar(2), ar(3), ar(4), ar(5)]
}
