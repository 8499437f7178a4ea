//! Tables of mean average precision: Tables 4, 5 and 6, and Figure 2.
//!
//! ```text
//! m(row)           mean over seeds of mAP
//! d(row)           m(row) - m(baseline)
//! interval, images bootstrap over the test images: in resample r all runs see the same images, so that d is paired
//! interval, seeds  Student's t over the seeds' own differences (equal seeds begin with equal weights and see equal images)
//! order            Spearman's rho of m with the paper's numbers, and its spread over the resamples
//! ```
//! The first interval says what other test images might give with these weights, the second what other seeds might give on
//! these images. Neither holds the other.

use serde::Serialize;
use serde_json::{Value, json};

use super::page::{Context, minus, number, percent, signed, span};
use super::result::RunResult;
use super::rows::{DELTAS, Row, THETAS};
use crate::Result;
use crate::eval::correlation::{OrderAgreement, order_agreement, spearman};
use crate::eval::{Bootstrap, Paired, Spread};
use crate::report::html::{Cell, Figure, Page};
use crate::report::plot::{Forest, ForestRow, HeatMap};

/// One row beside the paper's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapRow {
    /// Name in files.
    pub name: String,
    /// What the paper calls it.
    pub label: String,
    /// The paper's mAP, as a fraction.
    pub paper: Option<f64>,
    /// mAP of each seed, from seed 1 on.
    pub seeds: Vec<Option<f64>>,
    /// Mean and spread over seeds.
    pub map: Option<Spread>,
    /// The spread of that mean over resampled test images.
    pub images: Option<Bootstrap>,
    /// Mean AP of each class over seeds.
    pub per_class: Vec<(String, Option<f64>)>,
    /// Against the baseline; none for the baseline itself.
    pub difference: Option<Difference>,
    /// Mean time of training a run.
    pub seconds: f64,
    /// Means over resampled test images.
    #[serde(skip)]
    pub resampled: Vec<Option<f64>>,
}

/// A row's distance from the baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The paper's.
    pub paper: Option<f64>,
    /// Ours: mean over seeds.
    pub mean: Option<f64>,
    /// Over resampled test images, paired.
    pub images: Option<Paired>,
    /// Over seeds, paired.
    pub seeds: Option<Spread>,
}

/// How our order agrees with the paper's.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Order {
    /// Of our means.
    #[serde(flatten)]
    pub agreement: OrderAgreement,
    /// Spearman's rho over resampled test images.
    pub spearman_images: Option<Bootstrap>,
}

/// The rows of a target from its results; the first is the baseline.
pub fn map_rows(rows: &[Row], results: &[Vec<RunResult>]) -> Vec<MapRow> {
    let mut out: Vec<MapRow> = Vec::new();
    for (row, runs) in rows.iter().zip(results) {
        let resampled = mean_lists(runs.iter().map(|r| r.resampled.as_slice()));
        let seeds: Vec<Option<f64>> = runs.iter().map(|r| r.map).collect();
        let map = Spread::of(seeds.iter().copied().flatten());
        let paper = row.paper.map(|p| p / 100.0);
        let difference = out.first().map(|base| Difference {
            paper: minus(paper, base.paper),
            mean: minus(map.map(|s| s.mean), base.map.map(|s| s.mean)),
            images: Paired::of(&base.resampled, &resampled),
            seeds: Spread::of(seeds.iter().zip(&base.seeds).filter_map(|(a, b)| minus(*a, *b))),
        });
        let names: Vec<&String> = runs.iter().take(1).flat_map(|r| &r.config.model.classes).collect();
        let of_class = |name: &String| {
            let ap = runs.iter().filter_map(|r| r.per_class.get(name).copied().flatten());
            (name.clone(), Spread::of(ap).map(|s| s.mean))
        };
        out.push(MapRow {
            name: row.name.clone(),
            label: row.label.clone(),
            paper,
            map,
            images: Bootstrap::of(resampled.iter().copied().flatten()),
            per_class: names.into_iter().map(of_class).collect(),
            difference,
            seconds: runs.iter().map(|r| r.seconds).sum::<f64>() / runs.len().max(1) as f64,
            seeds,
            resampled,
        });
    }
    out
}

/// The order of the rows that have a paper's number; none of fewer than three.
pub fn order(rows: &[MapRow]) -> Option<Order> {
    let both: Vec<(f64, f64, &MapRow)> = rows.iter().filter_map(|r| Some((r.paper?, r.map?.mean, r))).collect();
    if both.len() < 3 {
        return None;
    }
    let paper: Vec<f64> = both.iter().map(|b| b.0).collect();
    let ours: Vec<f64> = both.iter().map(|b| b.1).collect();
    let resamples = both.iter().map(|b| b.2.resampled.len()).min().unwrap_or(0);
    let rhos = (0..resamples).filter_map(|r| {
        let ours: Option<Vec<f64>> = both.iter().map(|b| b.2.resampled[r]).collect();
        spearman(&paper, &ours?)
    });
    Some(Order { agreement: order_agreement(&paper, &ours), spearman_images: Bootstrap::of(rhos) })
}

/// The mean of several lists, place by place; none where one has none.
fn mean_lists<'a>(lists: impl Iterator<Item = &'a [Option<f64>]>) -> Vec<Option<f64>> {
    let lists: Vec<&[Option<f64>]> = lists.collect();
    let n = lists.iter().map(|l| l.len()).min().unwrap_or(0);
    let mean = |r: usize| {
        let values: Option<Vec<f64>> = lists.iter().map(|l| l[r]).collect();
        values.map(|v| v.iter().sum::<f64>() / v.len() as f64)
    };
    (0..n).map(mean).collect()
}

/// Tables 4, 5 and 6.
pub fn table(c: &Context<'_>) -> Result<(Value, Page)> {
    let rows = map_rows(c.rows, c.results);
    let order = order(&rows);
    let mut json = c.about();
    json["rows"] = json!(rows);
    json["baseline"] = json!(rows.first().map(|r| &r.name));
    json["order"] = json!(order);

    let mut page = c.page();
    page.headline(&headline(&rows, order.as_ref()));
    c.what_this_is(&mut page);
    page.section("Mean average precision");
    page.soft(
        "In percent, IoU 0.5, every point. ±: standard deviation over seeds. The interval is the 95 % one over test images.",
    );
    let seeds = c.seeds() > 1;
    let mut headings = vec!["method", "paper", "here", "interval"];
    headings.extend(seeds.then_some("seeds"));
    let cells = rows.iter().map(|r| {
        let here = match r.map.and_then(|s| s.deviation) {
            Some(d) => format!("{} ± {:.1}", percent(r.map.map(|s| s.mean)), 100.0 * d),
            None => percent(r.map.map(|s| s.mean)),
        };
        let mut row = vec![
            Cell::Text(r.label.clone()),
            Cell::Number(percent(r.paper)),
            Cell::Number(here),
            Cell::Number(span(r.images.map(|b| [b.low, b.high]))),
        ];
        if seeds {
            row.push(Cell::Number(r.seeds.iter().map(|v| percent(*v)).collect::<Vec<_>>().join(", ")));
        }
        row
    });
    page.table(&headings, &cells.collect::<Vec<_>>());
    differences(&mut page, &rows);
    if let Some(order) = &order {
        page.section("Order").text(&order_text(order));
    }
    by_class(&mut page, &rows);
    c.how(&mut page);
    Ok((json, page))
}

fn headline(rows: &[MapRow], order: Option<&Order>) -> Vec<Figure> {
    let mut out = Vec::new();
    if let Some(o) = order {
        let a = &o.agreement;
        let note = o.spearman_images.map(|b| format!("95 % interval {} over test images", plain_span(b)));
        out.push(Figure::new("rank correlation with the paper", number(a.spearman, 2), note.unwrap_or_default()));
        let note = if a.agrees { "the order agrees" } else { "the order does not agree" };
        out.push(Figure::new("pairs in the paper's order", format!("{} of {}", a.same, a.pairs), note));
    }
    let errors = rows.iter().filter_map(|r| r.difference.as_ref()?.images);
    if let Some(s) = Spread::of(errors.map(|p| p.spread.standard_error)) {
        let note = "standard error over test images, in points of mAP";
        out.push(Figure::new("noise of a difference", format!("{:.1}", 100.0 * s.mean), note));
    }
    let clear = |r: &&MapRow| {
        r.difference.as_ref().and_then(|d| d.images).is_some_and(|p| p.spread.low > 0.0 || p.spread.high < 0.0)
    };
    let apart: Vec<&str> = rows.iter().filter(clear).map(|r| r.label.as_str()).collect();
    let others = rows.len().saturating_sub(1);
    let note = "whose interval over test images excludes 0";
    out.push(Figure::new("differences from the baseline", format!("{} of {others}", apart.len()), note));
    out
}

fn differences(page: &mut Page, rows: &[MapRow]) {
    let Some(base) = rows.first() else { return };
    page.section("Differences");
    page.soft(&format!(
        "Points of mAP against {}. Images: 95 % interval over resampled test images, the same for both runs. Seeds: \
         Student's interval of the seeds' own differences. Neither interval holds what the other is about.",
        base.label
    ));
    let of = |r: &MapRow| r.difference.clone();
    let plot = rows.iter().filter_map(|r| {
        let d = of(r)?;
        Some(ForestRow {
            name: r.label.clone(),
            value: 100.0 * d.mean.unwrap_or(f64::NAN),
            interval: d.images.map(|p| [100.0 * p.spread.low, 100.0 * p.spread.high]),
            reference: d.paper.map(|p| 100.0 * p),
        })
    });
    let mut plot = Forest::new(format!("Difference from {}", base.label), "points of mAP", plot.collect());
    plot.legend = ["here, with its interval over test images".into(), "the paper's".into()];
    page.plots(&[plot.fragment()]);
    let cells = rows.iter().filter_map(|r| {
        let d = of(r)?;
        let seeds = d.seeds.and_then(|s| s.interval);
        Some(vec![
            Cell::Text(r.label.clone()),
            Cell::Number(signed(d.paper)),
            Cell::Number(signed(d.mean)),
            Cell::Number(span(d.images.map(|p| [p.spread.low, p.spread.high]))),
            Cell::Number(span(seeds)),
            Cell::Number(d.images.map_or("–".into(), |p| format!("{:.0} %", 100.0 * p.above))),
        ])
    });
    let headings = ["method", "paper", "here", "images", "seeds", "resamples above"];
    page.table(&headings, &cells.collect::<Vec<_>>());
}

fn plain_span(b: Bootstrap) -> String {
    format!("{} to {}", number(Some(b.low), 2), number(Some(b.high), 2))
}

/// The order in words.
fn order_text(o: &Order) -> String {
    let a = &o.agreement;
    let verdict = if a.agrees { "The order is the paper's." } else { "The order is not the paper's." };
    let chance = a.by_chance.map_or(String::new(), |p| {
        format!(" Of all orders of these numbers, {:.1} % agree with the paper as well or better.", 100.0 * p)
    });
    let images = o
        .spearman_images
        .map_or(String::new(), |b| format!(" Over resampled test images rho is {} (95 % interval).", plain_span(b)));
    format!(
        "{verdict} {} of {} pairs of rows stand as in the paper; Spearman's rho is {}, Kendall's tau {}.{chance}{images}",
        a.same,
        a.pairs,
        number(a.spearman, 2),
        number(a.kendall, 2),
    )
}

fn by_class(page: &mut Page, rows: &[MapRow]) {
    let names: Vec<&str> = rows.iter().take(1).flat_map(|r| &r.per_class).map(|c| c.0.as_str()).collect();
    if names.is_empty() || names.len() > 30 {
        return;
    }
    page.section("By class").soft("Average precision in percent, mean over seeds.");
    let headings: Vec<&str> = std::iter::once("method").chain(names.iter().copied()).collect();
    let cells = rows.iter().map(|r| {
        let ap = r.per_class.iter().map(|c| Cell::Number(percent(c.1)));
        std::iter::once(Cell::Text(r.label.clone())).chain(ap).collect::<Vec<_>>()
    });
    page.table(&headings, &cells.collect::<Vec<_>>());
}

/// The share of resampled test sets in which the first row (the paper's choice) is the best one; where several are, it
/// has its part of one.
fn first_is_best(rows: &[MapRow], resamples: usize) -> f64 {
    let won = |r: usize| {
        let own = rows[0].resampled[r];
        let ties = rows.iter().filter(|o| o.resampled[r] == own).count();
        if rows.iter().all(|o| o.resampled[r] <= own) { 1.0 / ties as f64 } else { 0.0 }
    };
    (0..resamples).map(won).sum::<f64>() / resamples as f64
}

/// Figure 2.
pub fn heat_map(c: &Context<'_>) -> Result<(Value, Page)> {
    let rows = map_rows(c.rows, c.results);
    let at = |theta: f32, delta: f32| {
        let own = if (theta, delta) == (5.0, 10.0) { [0.0, 0.0] } else { [delta, theta] };
        c.rows.iter().position(|r| r.constants == Some(own)).map(|i| &rows[i])
    };
    let mean = |r: Option<&MapRow>| r.and_then(|r| r.map).map(|s| s.mean);
    let best = rows.iter().max_by(|a, b| mean(Some(a)).unwrap_or(-1.0).total_cmp(&mean(Some(b)).unwrap_or(-1.0)));
    let resamples = rows.first().map_or(0, |r| r.resampled.len());
    let share = (resamples > 0).then(|| first_is_best(&rows, resamples));
    let mut json = c.about();
    json["rows"] = json!(rows);
    json["thetas"] = json!(THETAS);
    json["deltas"] = json!(DELTAS);
    json["map"] = THETAS.iter().map(|t| DELTAS.iter().map(|d| json!(mean(at(*t, *d)))).collect::<Value>()).collect();
    json["paper"] = json!({ "best": { "theta": 5.0, "delta": 10.0 } });
    json["best"] = json!(best.map(|r| &r.label));
    json["papers_choice_is_best"] = json!({ "here": best.is_some_and(|b| b.name == rows[0].name), "resamples": share });

    let mut page = c.page();
    let spread = Spread::of(rows.iter().filter_map(|r| mean(Some(r))));
    let noise = Spread::of(rows.iter().filter_map(|r| r.difference.as_ref()?.images).map(|p| p.spread.standard_error));
    page.headline(&[
        Figure::new("best here", best.map_or("–", |r| &r.label), format!("mAP {}", percent(mean(best)))),
        Figure::new("best in the paper", "theta 5, delta 10", ""),
        Figure::new(
            "the paper's choice is best in",
            share.map_or("–".into(), |s| format!("{:.0} %", 100.0 * s)),
            format!("of {resamples} resampled test sets; 8 % by chance"),
        ),
        Figure::new(
            "deviation between cells",
            spread.and_then(|s| s.deviation).map_or("–".into(), |d| format!("{:.1}", 100.0 * d)),
            noise.map_or(String::new(), |n| format!("points; the noise of a difference is {:.1}", 100.0 * n.mean)),
        ),
    ]);
    c.what_this_is(&mut page);
    page.section("mAP over the constants of beta = delta + theta sin(s)");
    let values: Vec<f64> = THETAS
        .iter()
        .flat_map(|t| DELTAS.map(|d| 100.0 * mean(at(*t, d)).unwrap_or(f64::NAN)))
        .map(|v| (v * 10.0).round() / 10.0)
        .collect();
    let names = |prefix: &str, v: &[f32]| v.iter().map(|v| format!("{prefix} {v}")).collect::<Vec<_>>();
    let map = HeatMap::new("mAP in percent", names("theta", &THETAS), names("delta", &DELTAS), values);
    page.plots(&[map.fragment()]);
    differences(&mut page, &rows);
    c.how(&mut page);
    Ok((json, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(paper: f64, map: f64, resampled: &[f64]) -> MapRow {
        MapRow {
            name: String::new(),
            label: String::new(),
            paper: Some(paper),
            seeds: vec![Some(map)],
            map: Spread::of([map]),
            images: None,
            per_class: Vec::new(),
            difference: None,
            seconds: 1.0,
            resampled: resampled.iter().map(|v| Some(*v)).collect(),
        }
    }

    #[test]
    fn order_over_resamples() {
        // In the means one exchange; in the first resample the paper's order, in the second the reverse.
        let rows = [row(1.0, 0.1, &[0.1, 0.3]), row(2.0, 0.3, &[0.2, 0.2]), row(3.0, 0.2, &[0.3, 0.1])];
        let o = order(&rows).unwrap_or_else(|| unreachable!());
        assert_eq!((o.agreement.spearman, o.agreement.same, o.agreement.pairs), (Some(0.5), 2, 3));
        assert_eq!(o.spearman_images.map(|b| (b.low, b.high)), Some((-1.0, 1.0)));
        assert!(order(&rows[..2]).is_none());
    }

    #[test]
    fn means_of_lists() {
        let lists: [&[Option<f64>]; 2] = [&[Some(1.0), None, Some(3.0)], &[Some(2.0), Some(2.0), Some(5.0)]];
        assert_eq!(mean_lists(lists.into_iter()), [Some(1.5), None, Some(4.0)]);
    }

    #[test]
    fn ties_share_the_first_place() {
        let rows = [row(0.0, 0.5, &[0.5, 0.4, 0.2]), row(0.0, 0.5, &[0.5, 0.3, 0.3])];
        assert_eq!(first_is_best(&rows, 3), 0.5, "half of the first, all of the second, none of the third");
    }
}
