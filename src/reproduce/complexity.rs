//! Figures 3 and 4: what the discriminator says of each training image, and how complex the trained detector finds it.
//!
//! ```text
//! s(x)     D(G(f(x))) of the trained estimator in evaluation mode
//! C(x)     complexity of the image for the trained detector (eval::complexity)
//! r        Pearson's correlation of s with 1 / C, 1 / C clipped at its 99th percentile; Fisher's interval
//! ```
//! Both are taken on the training images, unaugmented, after the last step.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use serde::Serialize;
use serde_json::{Value, json};

use super::page::{Context, number};
use super::{RESAMPLE_SEED, RESAMPLES};
use crate::Result;
use crate::complexity::ComplexityEstimator;
use crate::data::{Dataset, PITCH, Sample, pixels};
use crate::detect::Matcher;
use crate::eval::Spread;
use crate::eval::complexity::{Complexity, complexity};
use crate::eval::correlation::{Correlation, clip_above};
use crate::measure::matched;
use crate::predict::VARIANCES;
use crate::report::html::{Cell, Figure, Page};
use crate::report::plot::{Chart, Series};

/// Images of Figure 3 at each end and in the middle.
const SHOWN: usize = 6;
/// Longest side of a picture.
const SIDE: u32 = 240;
/// Where 1 / C is clipped.
const CLIP: f64 = 0.99;
/// The paper's correlation.
const PAPER: f64 = 0.80;

/// What is known of one training image.
#[derive(Debug, Clone, Serialize)]
struct Looked {
    /// Place in the data set.
    #[serde(skip)]
    index: usize,
    id: String,
    s: f32,
    beta: f32,
    /// None where no prior answers for an object.
    complexity: Option<Complexity>,
    /// Annotated objects that may be targets.
    objects: usize,
    /// Mean absolute difference of image and reconstruction, in [-1, 1].
    reconstruction_error: f32,
}

/// Every readable training image as the run with this seed sees it, in order.
fn look(c: &Context<'_>, seed: u32) -> Result<Vec<Looked>> {
    let row = &c.rows[0];
    let train = c.grid.train();
    let mut predictor = c.grid.predictor(row, seed)?;
    let mut estimator = c.grid.estimator(row, seed)?;
    let aic = row.config(c.grid.config(), seed).aic;
    let matcher = Matcher::new(&predictor.detector.priors, 0.5, VARIANCES);
    let matched = move |s: &Sample<'_>| matched(&matcher, s);
    let mut out = Vec::with_capacity(train.images.len());
    predictor.each_batch(train, 0, matched, |p, batch, raw| {
        let opinion = estimator.look(&batch.images, raw.n)?;
        let one = p.detector.preprocess.floats();
        let small = opinion.side as usize * opinion.side as usize * PITCH;
        for i in 0..raw.n {
            let (true, Ok(targets)) = (batch.readable[i], &batch.targets[i]) else { continue };
            let (locations, logits) = raw.image(&p.detector, i);
            let image = p.detector.preprocess.in_small(&batch.images[i * one..][..one], opinion.side);
            let own = &opinion.reconstructions[i * small..][..small];
            let error: f32 = image.iter().zip(own).map(|(a, b)| (a - b).abs()).sum();
            out.push(Looked {
                index: batch.indices[i],
                id: batch.ids[i].clone(),
                s: opinion.s[i],
                beta: aic.transform.beta(aic.constants(), opinion.s[i]),
                complexity: complexity(locations, logits, &targets.loc, &targets.conf)?,
                objects: train.images[batch.indices[i]].objects.iter().filter(|o| o.target && !o.difficult).count(),
                reconstruction_error: error / (small / PITCH * 3) as f32,
            });
        }
        Ok(())
    })?;
    Ok(out)
}

/// s and 1 / C of the images that have a complexity, 1 / C clipped.
fn pairs(looked: &[Looked]) -> (Vec<f64>, Vec<f64>) {
    let (s, inverse): (Vec<f64>, Vec<f64>) =
        looked.iter().filter_map(|l| Some((f64::from(l.s), 1.0 / l.complexity?.total()))).unzip();
    (s, clip_above(&inverse, CLIP))
}

fn correlation(x: &[f64], y: &[f64]) -> Correlation {
    Correlation::of(x, y, RESAMPLES, RESAMPLE_SEED)
}

/// The correlations of one seed.
#[derive(Debug, Clone, Serialize)]
struct Correlations {
    seed: u32,
    images: usize,
    s: Option<Spread>,
    beta: Option<Spread>,
    range_of_s: Option<[f32; 2]>,
    /// s with 1 / C, clipped: the paper's.
    s_with_inverse_complexity: Correlation,
    /// The same unclipped.
    unclipped: Correlation,
    /// s with the number of objects.
    s_with_objects: Correlation,
    /// s with the reconstruction's error.
    s_with_error: Correlation,
    /// 1 / C with the number of objects.
    inverse_complexity_with_objects: Correlation,
    /// 1 / C with the reconstruction's error: what the theory says, without a discriminator.
    inverse_complexity_with_error: Correlation,
}

impl Correlations {
    fn of(seed: u32, looked: &[Looked]) -> Correlations {
        let with: Vec<&Looked> = looked.iter().filter(|l| l.complexity.is_some()).collect();
        let (s, inverse) = pairs(looked);
        let raw: Vec<f64> = with.iter().filter_map(|l| Some(1.0 / l.complexity?.total())).collect();
        let objects: Vec<f64> = with.iter().map(|l| l.objects as f64).collect();
        let error: Vec<f64> = with.iter().map(|l| f64::from(l.reconstruction_error)).collect();
        let all = |f: fn(&Looked) -> f32| looked.iter().map(f).map(f64::from).collect::<Vec<_>>();
        let ends = |f: fn(f32, f32) -> f32| looked.iter().map(|l| l.s).reduce(f);
        Correlations {
            seed,
            images: looked.len(),
            s: Spread::of(all(|l| l.s)),
            beta: Spread::of(all(|l| l.beta)),
            range_of_s: ends(f32::min).zip(ends(f32::max)).map(|(a, b)| [a, b]),
            s_with_inverse_complexity: correlation(&s, &inverse),
            unclipped: correlation(&s, &raw),
            s_with_objects: correlation(&all(|l| l.s), &all(|l| l.objects as f32)),
            s_with_error: correlation(&all(|l| l.s), &all(|l| l.reconstruction_error)),
            inverse_complexity_with_objects: correlation(&inverse, &objects),
            inverse_complexity_with_error: correlation(&inverse, &error),
        }
    }
}

fn seeds(c: &Context<'_>) -> Result<Vec<(Vec<Looked>, Correlations)>> {
    let of = |seed: u32| {
        let looked = look(c, seed)?;
        let correlations = Correlations::of(seed, &looked);
        Ok((looked, correlations))
    };
    (1..=c.seeds() as u32).map(of).collect()
}

fn r_and_interval(r: Option<f64>, interval: Option<[f64; 2]>) -> String {
    let interval = interval.map(|[a, b]| format!(" ({} to {})", number(Some(a), 2), number(Some(b), 2)));
    number(r, 2) + &interval.unwrap_or_default()
}

/// Figure 4.
pub fn scatter(c: &Context<'_>) -> Result<(Value, Page)> {
    let seeds = seeds(c)?;
    let mut json = c.about();
    json["paper"] = json!({ "pearson": PAPER, "images": 16_551 });
    json["seeds_correlations"] = seeds.iter().map(|s| json!(s.1)).collect();
    json["pearson_over_seeds"] = json!(Spread::of(seeds.iter().filter_map(|s| s.1.s_with_inverse_complexity.pearson)));
    json["images"] = json!(seeds.first().map(|s| &s.0));

    let mut page = c.page();
    let first = seeds.first().map(|s| &s.1);
    let r = first.map(|f| f.s_with_inverse_complexity);
    let interval = |i: Option<[f64; 2]>| {
        i.map_or(String::new(), |[a, b]| format!("95 % interval {} to {}", number(Some(a), 2), number(Some(b), 2)))
    };
    page.headline(&[
        Figure::new(
            "Pearson, D(G(f)) with 1 / C",
            number(r.and_then(|r| r.pearson), 2),
            interval(r.and_then(|r| r.pearson_interval)),
        ),
        Figure::new("Spearman", number(r.and_then(|r| r.spearman), 2), interval(r.and_then(|r| r.spearman_interval))),
        Figure::new("in the paper", number(Some(PAPER), 2), "Pearson, 16,551 images of VOC"),
        Figure::new(
            "D(G(f))",
            number(first.and_then(|f| f.s).map(|s| s.mean), 2),
            first
                .and_then(|f| f.s)
                .and_then(|s| s.deviation)
                .map_or(String::new(), |d| format!("± {d:.3} over images")),
        ),
    ]);
    what(c, &mut page);
    page.section("D(G(f)) against 1 / C(x)");
    let points = seeds.first().map(|s| pairs(&s.0)).unwrap_or_default();
    let mut chart =
        Chart::new("One dot a training image, seed 1", "1 / C(x), clipped at its 99th percentile", "D(G(f))");
    chart.size = (720, 420);
    chart.series.push(Series::dots("", points.1.iter().copied().zip(points.0.iter().copied()).collect()));
    page.plots(&[chart.fragment()]);
    table(&mut page, &seeds);
    page.soft(
        "The interval of Pearson's r is Fisher's, that of Spearman's rho is from resampled images. Both say what other images \
         of the same kind would give with this one trained network; other seeds are other rows.",
    );
    c.how(&mut page);
    Ok((json, page))
}

fn what(c: &Context<'_>, page: &mut Page) {
    page.text(&format!(
        "D(G(f)) is the discriminator's opinion of the reconstruction of an image; the paper takes it for the image's \
         simplicity. C(x) is the loss of the trained detector on the image: mean over the priors that answer for an object of \
         cross-entropy (with three mined background priors each) and squared error of location. The paper's figure is about \
         VOC with SSD300; here {} was trained on {}.",
        c.grid.config().model.name.as_str(),
        c.grid.train().name,
    ));
}

fn table(page: &mut Page, seeds: &[(Vec<Looked>, Correlations)]) {
    page.heading("Correlations over training images");
    let of = |c: Correlation| {
        [r_and_interval(c.pearson, c.pearson_interval), r_and_interval(c.spearman, c.spearman_interval)]
            .map(Cell::Number)
    };
    let mut cells = Vec::new();
    for (_, k) in seeds {
        for (what, c) in [
            ("D(G(f)) with 1 / C", k.s_with_inverse_complexity),
            ("D(G(f)) with 1 / C, unclipped", k.unclipped),
            ("D(G(f)) with the number of objects", k.s_with_objects),
            ("D(G(f)) with the reconstruction's error", k.s_with_error),
            ("1 / C with the number of objects", k.inverse_complexity_with_objects),
            ("1 / C with the reconstruction's error", k.inverse_complexity_with_error),
        ] {
            let mut row = vec![Cell::Text(format!("seed {}: {what}", k.seed))];
            row.extend(of(c));
            cells.push(row);
        }
    }
    page.table(&["", "Pearson (95 %)", "Spearman (95 %)"], &cells);
}

/// Figure 3.
pub fn ordered(c: &Context<'_>) -> Result<(Value, Page)> {
    let seeds = seeds(c)?;
    let looked = seeds.first().map(|s| s.0.as_slice()).unwrap_or_default();
    let mut order: Vec<usize> = (0..looked.len()).collect();
    order.sort_by(|a, b| looked[*a].s.total_cmp(&looked[*b].s));
    let thirds: Vec<Third> = order.chunks(order.len().div_ceil(3).max(1)).map(|t| Third::of(looked, t)).collect();

    let mut json = c.about();
    json["seeds_correlations"] = seeds.iter().map(|s| json!(s.1)).collect();
    json["thirds"] = json!(thirds);
    json["images"] = order.iter().map(|i| json!(looked[*i])).collect();

    let mut page = c.page();
    let first = seeds.first().map(|s| &s.1);
    let rho = first.map(|f| f.s_with_objects);
    let says =
        rho.and_then(|r| r.spearman_interval).map_or("cannot be said", |[low, high]| match (low > 0.0, high < 0.0) {
            (_, true) => "images with more objects have a smaller D, as in the paper",
            (true, _) => "images with more objects have a larger D, unlike in the paper",
            _ => "whether images with more objects have a smaller or a larger D cannot be told from chance",
        });
    page.headline(&[
        Figure::new(
            "D with the number of objects",
            number(rho.and_then(|r| r.spearman), 2),
            rho.and_then(|r| r.spearman_interval).map_or(String::new(), |[a, b]| {
                format!("Spearman; 95 % interval {} to {}", number(Some(a), 2), number(Some(b), 2))
            }),
        ),
        Figure::new(
            "D(G(f)), smallest to largest",
            first.and_then(|f| f.range_of_s).map_or("–".into(), |[a, b]| format!("{a:.2} to {b:.2}")),
            "over training images",
        ),
        Figure::new(
            "beta",
            number(first.and_then(|f| f.beta).map(|b| b.mean), 2),
            first
                .and_then(|f| f.beta)
                .and_then(|b| b.deviation)
                .map_or(String::new(), |d| format!("± {d:.3} over images")),
        ),
    ]);
    what(c, &mut page);
    page.text(&format!(
        "Of seed 1: {says}. The paper's images with more objects and more complex background have a smaller D."
    ));
    page.section("By D(G(f))").soft("Training images in three parts of equal size; means with their 95 % intervals.");
    let cells = thirds.iter().zip(["lowest", "middle", "highest"]).map(|(t, name)| {
        let of = |s: Option<Spread>, digits: usize| {
            Cell::Number(match s {
                Some(Spread { mean, interval: Some([a, b]), .. }) => {
                    format!("{mean:.digits$} ({a:.digits$} to {b:.digits$})")
                }
                Some(s) => format!("{:.digits$}", s.mean),
                None => "–".into(),
            })
        };
        vec![Cell::Text(name.into()), of(t.s, 3), of(t.beta, 2), of(t.objects, 1), of(t.complexity, 2)]
    });
    page.table(&["D", "D(G(f))", "beta", "objects", "C(x)"], &cells.collect::<Vec<_>>());
    table(&mut page, &seeds);
    let mut estimator = c.grid.estimator(&c.rows[0], 1)?;
    let n = order.len();
    let middle = n.saturating_sub(SHOWN) / 2;
    for (heading, range) in [
        ("Lowest D(G(f)): taken for complex", 0..SHOWN.min(n)),
        ("Middle", middle..(middle + SHOWN).min(n)),
        ("Highest D(G(f)): taken for simple", n.saturating_sub(SHOWN)..n),
    ] {
        page.section(heading).soft("The image, and under it its reconstruction.");
        let of = |i: &usize| picture(c.grid.train(), &mut estimator, &looked[*i]);
        let pictures = order[range].iter().map(of).collect::<Result<Vec<_>>>()?;
        page.pictures(SHOWN, &pictures)?;
    }
    c.how(&mut page);
    Ok((json, page))
}

/// One of three parts of the images.
#[derive(Debug, Clone, Serialize)]
struct Third {
    images: usize,
    s: Option<Spread>,
    beta: Option<Spread>,
    objects: Option<Spread>,
    complexity: Option<Spread>,
}

impl Third {
    fn of(looked: &[Looked], own: &[usize]) -> Third {
        let of = |f: fn(&Looked) -> Option<f64>| Spread::of(own.iter().filter_map(|i| f(&looked[*i])));
        Third {
            images: own.len(),
            s: of(|l| Some(l.s.into())),
            beta: of(|l| Some(l.beta.into())),
            objects: of(|l| Some(l.objects as f64)),
            complexity: of(|l| Some(l.complexity?.total())),
        }
    }
}

/// An image above its reconstruction.
fn picture(train: &Dataset, estimator: &mut ComplexityEstimator, l: &Looked) -> Result<(RgbImage, String)> {
    let image = pixels(&train.images[l.index])?;
    let opinion = estimator.look(&estimator.detector.preprocess.eval(&image), 1)?;
    let byte = |v: f32| ((v + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
    let bytes: Vec<u8> =
        opinion.reconstructions.chunks_exact(PITCH).flat_map(|p| [p[0], p[1], p[2]].map(byte)).collect();
    let small = RgbImage::from_raw(opinion.side, opinion.side, bytes).unwrap_or_else(|| RgbImage::new(1, 1));
    let (w, h) = (image.width().max(1), image.height().max(1));
    let height = (u64::from(SIDE) * u64::from(h) / u64::from(w)).clamp(1, 480) as u32;
    // The reconstruction is of the squeezed image: it is drawn in the image's own shape.
    let mut out = RgbImage::new(SIDE, 2 * height + 4);
    image::imageops::replace(&mut out, &resize(&image, SIDE, height, FilterType::Triangle), 0, 0);
    let below = resize(&small, SIDE, height, FilterType::CatmullRom);
    image::imageops::replace(&mut out, &below, 0, i64::from(height) + 4);
    let complexity = l.complexity.map_or(String::new(), |k| format!(", C {:.2}", k.total()));
    Ok((out, format!("{}: D {:.3}, {} objects{complexity}", l.id, l.s, l.objects)))
}
