//! A run that never was, for tests that need a whole one.

use std::collections::BTreeMap;

use autobidet::data::scenes::{self, CLASSES, SceneSpec};
use autobidet::detect::BBox;
use autobidet::report::diagnosis::{BINS, Diagnosis, LayerDiagnosis, REACH, WIDTH};
use autobidet::report::draw::LabelledBox;
use autobidet::report::events::{Complexity, Evaluated, Event, RunFinished, RunStarted, Spread, Step};
use autobidet::report::html::{ClassResult, Example, Figure, RunReport, Split, SplitNote};
use autobidet::report::log_reader::RunLog;

/// Uniform numbers in [0, 1).
pub struct Noise(pub u64);

impl Noise {
    pub fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The high bits of a product with them: neighbouring seeds must not give neighbouring numbers.
        let mixed = (self.0 ^ self.0 >> 29).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> 40) as f64 / (1u64 << 24) as f64
    }
}

pub fn step(step: u64, of: u64) -> Step {
    let mut noise = Noise(step * 7919 + 13);
    let t = step as f64 / of as f64;
    let mut jitter = |scale: f64| 1.0 + scale * (noise.unit() - 0.5);
    let fall = (-4.0 * t).exp();
    let mut losses = BTreeMap::from([
        ("box".to_string(), (0.5 + 2.2 * fall) * jitter(0.5)),
        ("class".to_string(), (0.9 + 6.0 * fall) * jitter(0.4)),
        ("information bottleneck".to_string(), (0.05 + 0.3 * fall) * jitter(0.3)),
        ("sparse object prior".to_string(), (0.02 + 0.05 * t) * jitter(0.4)),
    ]);
    losses.insert("total".into(), losses.values().sum());
    if step == 40 {
        losses.values_mut().for_each(|v| *v = f64::NAN);
    }
    Step {
        step,
        of,
        epoch: t * 12.0,
        lr: 0.5e-3 * (1.0 + (std::f64::consts::PI * t).cos()),
        losses,
        images_per_second: 41.0 * jitter(0.15),
        wait_share: 0.04 * jitter(1.0),
        grad_norm: Some(3.0 * fall.sqrt() * jitter(0.8) + 0.4),
        skipped: step == 40,
    }
}

pub fn evaluated(step: u64, of: u64) -> Evaluated {
    let t = step as f64 / of as f64;
    let per_class: BTreeMap<String, f64> = CLASSES
        .iter()
        .enumerate()
        .map(|(i, c)| (c.to_string(), (0.93 - 0.06 * i as f64) * (1.0 - (-3.2 * t).exp())))
        .collect();
    let map = per_class.values().sum::<f64>() / per_class.len() as f64;
    Evaluated { step, metric: "mAP@0.5, every point".into(), map, per_class, seconds: 3.2 }
}

pub fn complexity(step: u64, of: u64) -> Complexity {
    let t = step as f64 / of as f64;
    let spread = |mean: f64, d: f64| Spread { mean, deviation: d, low: mean - 2.0 * d, high: mean + 2.0 * d };
    Complexity {
        step,
        epoch: t * 12.0,
        s: spread(0.5 - 0.1 * t, 0.05),
        beta: spread(12.3 - 0.4 * t, 0.2),
        reconstruction: Some(0.2 + 0.3 * (-3.0 * t).exp()),
        psnr: Some(9.0 + 4.0 * t),
        discriminator_accuracy: Some(0.7),
        losses: BTreeMap::from([("g".to_string(), 0.8), ("d_real".to_string(), 0.6)]),
    }
}

/// A look at nine layers whose signs come to rest, one of which loses channels.
pub fn diagnosis(step: u64, of: u64, since: u64) -> Diagnosis {
    let t = step as f64 / of as f64;
    let mut noise = Noise(step * 31 + 5);
    let mut jitter = |scale: f64| 1.0 + scale * (noise.unit() - 0.5);
    let constant = |i: usize| if i == 4 { 0.02 + 0.3 * t } else { 0.01 * t };
    let layer = |i: usize| {
        let weights = 13_824 + 9000 * i as u64;
        // Two heaps that part as training goes on.
        let heap = |x: f64| (-(x.abs() - 0.2 - 0.7 * t).powi(2) / 0.5).exp();
        let middle = |b: usize| (b as f64 - 0.5) * WIDTH - REACH;
        let all: f64 = (0..BINS).map(|b| heap(middle(b))).sum();
        let mut histogram: Vec<u64> = (0..BINS).map(|b| (heap(middle(b)) / all * weights as f64) as u64).collect();
        histogram[BINS / 2] += weights.saturating_sub(histogram.iter().sum());
        LayerDiagnosis {
            layer: format!("body.{}.conv", i + 2),
            weights,
            flipped: (0.12 * (-5.0 * t).exp() * jitter(0.5)).min(1.0),
            near_zero: 0.06 - 0.03 * t,
            zeros: 0.0,
            mean: 0.001,
            mean_abs: 0.03 + 0.02 * t,
            norm: (0.04 + 0.03 * t) * (weights as f64).sqrt(),
            lowest: -0.4,
            highest: 0.45,
            histogram,
            gradient: 0.3 / (i + 1) as f64 * (-3.0 * t).exp() * jitter(0.8),
            values: 102_400 >> (2 * i.min(5)),
            inside: 0.75 - 0.04 * i as f64 - 0.1 * t,
            constant_inputs: constant(i),
            dead_outputs: (i < 8).then(|| constant(i + 1)),
        }
    };
    let layers = (0..9).map(layer).collect();
    let told = step >= of / 2 && step - since < of / 2;
    let advice = told.then(|| "channels are dead: 17 % of those that body.6.conv reads have one sign".to_string());
    Diagnosis { step, of, epoch: t * 12.0, since, layers, advice: advice.into_iter().collect() }
}

pub fn started(steps: u64) -> RunStarted {
    RunStarted {
        time: 1_795_000_000.0,
        config: serde_json::json!({
            "model": "tiny", "method": "bidet-sc", "data": "scenes", "seed": 7,
            "train": {"batch": 16, "lr": 1e-3, "schedule": "short", "steps": steps, "augment": ["flip", "crop", "colour"]},
            "loss": {"alpha": 1.0, "beta": 0.2, "gamma": 0.1}
        }),
        device: "llvmpipe (Vulkan)".into(),
        model: "tiny".into(),
        parameters: 1_048_312,
        float_macs: 18_400_000,
        binary_macs: 212_000_000,
        classes: CLASSES.iter().map(|c| c.to_string()).collect(),
        images: 2000,
        batch: 16,
        steps,
        resumed_at: None,
        version: "0.1.0".into(),
    }
}

pub fn events(steps: u64) -> Vec<Event> {
    let mut events = vec![Event::RunStarted(started(steps))];
    for s in 1..=steps {
        events.push(Event::Step(step(s, steps)));
        if s == 40 {
            events.push(Event::Warning { message: "step 40 skipped: the loss is not finite".into() });
        }
        if s % (steps / 8).max(1) == 0 {
            events.push(Event::Diagnosed(diagnosis(s, steps, (steps / 8).max(1))));
            events.push(Event::Evaluated(evaluated(s, steps)));
            events.push(Event::Complexity(complexity(s, steps)));
            events.push(Event::CheckpointSaved { path: format!("checkpoints/{s:06}").into(), step: s });
        }
    }
    events.push(Event::RunFinished(RunFinished { step: steps, seconds: 252.0, map: Some(0.75), stopped: None }));
    events
}

/// Precision over recall that falls late for good classes.
fn curve(ap: f64, seed: u64) -> Vec<(f64, f64)> {
    let mut noise = Noise(seed);
    (0..200)
        .map(|i| {
            let recall = i as f64 / 199.0 * (0.7 + 0.3 * ap);
            let precision = 1.0 - recall.powf(1.0 + 9.0 * ap * ap) * 0.8 - 0.02 * noise.unit();
            (recall, precision.clamp(0.0, 1.0))
        })
        .collect()
}

pub fn example(index: u64, side: u32, misses: f64) -> Example {
    let (image, objects) = scenes::draw(&SceneSpec { seed: 4, width: side, height: side }, index);
    let labelled =
        |class: usize, bbox: BBox, score: Option<f32>| LabelledBox { bbox, class, name: CLASSES[class].into(), score };
    let mut noise = Noise(index);
    let mut detections = Vec::new();
    for o in &objects {
        if noise.unit() < misses {
            continue;
        }
        let mut shift = |v: f32| v + (noise.unit() as f32 - 0.5) * 0.04 * side as f32;
        let b = BBox::new(shift(o.bbox.xmin), shift(o.bbox.ymin), shift(o.bbox.xmax), shift(o.bbox.ymax));
        let class = if noise.unit() < misses * 0.4 { (o.class + 1) % CLASSES.len() } else { o.class };
        detections.push(labelled(class, b, Some(0.35 + 0.64 * noise.unit() as f32)));
    }
    let ground_truth = objects.iter().map(|o| labelled(o.class, o.bbox, None)).collect();
    Example { id: format!("{index:06}"), image, ground_truth, detections, score: None }
}

pub fn report() -> RunReport {
    let mut report = RunReport::from_log(RunLog::from_events(events(900)));
    report.title = "tiny, BiDet (SC) on scenes".into();
    report.subtitle = "A binarized detector of a million parameters, trained in four minutes on two CPU cores.".into();
    report.headline[0].note = "on 500 unseen scenes".into();
    report.headline.push(Figure::new("speed", "38 images/s", "160x160, on the CPU"));
    report.classes = CLASSES
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let ap = 0.91 - 0.06 * i as f64;
            ClassResult {
                name: name.to_string(),
                ap,
                objects: 320 + 11 * i as u64,
                detections: 400 - 9 * i as u64,
                precision_recall: curve(ap, i as u64),
            }
        })
        .collect();
    report.examples = (0..8).map(|i| example(i, 160, 0.12)).collect();
    report.hardest = (20..24).map(|i| Example { score: Some(0.1 * (i - 19) as f64), ..example(i, 160, 0.6) }).collect();
    report.hardest_by = Some("F1 of detections over score 0.3".into());
    report.data = vec![
        Split {
            name: "scenes train".into(),
            images: 2000,
            objects: 8411,
            notes: vec![SplitNote {
                what: "zero-area box: left out of the targets, the image is kept".into(),
                count: 3,
                places: vec!["000012".into(), "000913".into()],
            }],
        },
        Split { name: "scenes test".into(), images: 500, objects: 2103, notes: vec![] },
    ];
    report.device.push(("driver".into(), "Mesa 22.3.6 (LLVM 15)".into()));
    report.device.push(("workgroup memory".into(), "32 KiB".into()));
    report.command = Some("autobidet train --data scenes --model tiny --method bidet-sc --seed 7".into());
    report.date = Some("23 November 2026, 12:04".into());
    report
}
