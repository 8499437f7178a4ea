//! The section on binary layers: how signs, latent weights, activations and gradients developed.

use super::super::diagnosis::{BINS, Diagnosis, LayerDiagnosis, REACH, WIDTH, edge};
use super::super::plot::axis::number;
use super::super::plot::{Chart, HeatMap, Scale, Series, escape};
use super::sections::{Page, ROWS, short};

/// Layers and looks that a heat map shows; of more, evenly spread ones stand for all.
const LAYERS: usize = 40;
const LOOKS: usize = 24;
/// Sentences of advice that are shown: each is told once a session.
const ADVICE: usize = 60;
/// Layers whose latent weights are drawn.
const HISTOGRAMS: usize = 4;

pub(super) fn section(page: &mut Page, looks: &[Diagnosis]) {
    let Some(last) = looks.last().filter(|d| !d.layers.is_empty()) else { return };
    page.raw("<section><h2>Binary layers</h2>\n");
    page.raw(
        "<p class=\"soft\">What the training of binary weights looks like from inside, at each look. Rows are layers in \
         the order in which they compute, columns steps.</p>\n",
    );
    let advice: Vec<(u64, &String)> = looks.iter().flat_map(|d| d.advice.iter().map(|a| (d.step, a))).collect();
    if advice.is_empty() {
        let two = if looks.len() < 2 { " yet: it takes two looks" } else { "" };
        page.put(format_args!("<p><span class=\"good\">No advice</span>{}.</p>\n", two));
    } else {
        page.raw("<ul class=\"notes\">");
        for (step, sentence) in advice.iter().take(ADVICE) {
            page.put(format_args!("<li>Step {step}: {}.</li>", escape(&short(sentence, 1000))));
        }
        page.raw("</ul>\n");
    }
    page.raw("<div class=\"charts\">");
    let shown = spread(looks, LOOKS);
    type Figure = fn(&LayerDiagnosis) -> f64;
    // What shades span: everything where it says so, else what is there.
    let to = |top: f64| Some((0.0, top));
    let constant = last.layers.iter().map(|l| 100.0 * l.constant_inputs).fold(10.0, f64::max);
    type Map = (&'static str, Scale, Option<(f64, f64)>, Figure);
    let maps: [Map; 4] = [
        ("Signs that flipped since the look before, %", Scale::Log, None, |l| 100.0 * l.flipped),
        ("Inputs inside the gradient's window, %", Scale::Linear, to(100.0), |l| 100.0 * l.inside),
        ("Input channels of one sign, %", Scale::Linear, to(constant), |l| 100.0 * l.constant_inputs),
        ("Gradient's length by the weights'", Scale::Log, None, |l| l.gradient_ratio()),
    ];
    for (title, scale, range, figure) in maps {
        let rows = spread(&last.layers, LAYERS);
        let value = |d: &Diagnosis, name: &str| d.layers.iter().find(|l| l.layer == name).map_or(f64::NAN, figure);
        let values = rows.iter().flat_map(|r| shown.iter().map(|d| value(d, &r.layer))).collect();
        let columns = shown.iter().map(|d| number(d.step as f64)).collect();
        let mut map = HeatMap::new(title, rows.iter().map(|l| short(&l.layer, 60)).collect(), columns, values);
        (map.scale, map.range) = (scale, range);
        page.put(format_args!("<div>{}</div>\n", map.fragment()));
    }
    page.raw("</div>\n");
    table(page, last);
    histograms(page, looks);
    page.raw("</section>\n");
}

/// The last look, layer by layer.
fn table(page: &mut Page, last: &Diagnosis) {
    page.put(format_args!(
        "<h3>At step {}</h3>\n<div class=\"scroll\"><table class=\"layers\"><thead><tr><th>layer</th>",
        last.step
    ));
    let heads =
        ["weights", "flipped", "near zero", "inside window", "one sign in", "one sign out", "gradient", "mean |W|"];
    for head in heads {
        page.put(format_args!("<th class=\"n\">{head}</th>"));
    }
    page.raw("</tr></thead><tbody>");
    let percent =
        |v: f64| if v.is_finite() { format!("{} %", number((1e4 * v).round() / 100.0)) } else { "–".into() };
    for l in last.layers.iter().take(ROWS) {
        let values = [
            number(l.weights as f64),
            percent(l.flipped),
            percent(l.near_zero),
            percent(l.inside),
            percent(l.constant_inputs),
            l.dead_outputs.map_or("–".into(), percent),
            number(l.gradient),
            number(l.mean_abs),
        ];
        page.put(format_args!("<tr><td>{}</td>", escape(&short(&l.layer, 120))));
        values.iter().for_each(|v| page.put(format_args!("<td class=\"n\">{v}</td>")));
        page.raw("</tr>\n");
    }
    page.put(format_args!(
        "</tbody></table></div>\n<p class=\"soft\">Flipped: signs that differ from those {} steps before. Near zero: latent \
         weights below a tenth of the layer's mean |W|, the next to flip. Inside window: inputs in −1..1, where gradients \
         pass the sign. One sign in, out: channels that the layer reads, or puts out for the next binary layer, with one \
         sign at every pixel of the batch. Gradient: its length before clipping.</p>\n",
        last.since
    ));
}

/// Latent weights at the first look and at the last one.
fn histograms(page: &mut Page, looks: &[Diagnosis]) {
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else { return };
    let layers: Vec<&LayerDiagnosis> = last.layers.iter().filter(|l| l.histogram.len() == BINS).collect();
    if layers.is_empty() {
        return;
    }
    page.raw("<h3>Latent weights</h3>\n<div class=\"charts\">");
    for l in spread(&layers, HISTOGRAMS) {
        let mut chart = Chart::new(short(&l.layer, 60), "W / mean |W|", "% of the weights");
        let before = first.layers.iter().find(|b| b.layer == l.layer && b.histogram.len() == BINS);
        if let Some(before) = before.filter(|_| first.step < last.step) {
            chart.series.push(Series { colour: Some(1), ..stairs(format!("step {}", first.step), before) });
        }
        chart.series.push(Series { colour: Some(0), ..stairs(format!("step {}", last.step), l) });
        chart.x_range = Some((-REACH - WIDTH, REACH + WIDTH));
        page.put(format_args!("<div>{}</div>\n", chart.fragment()));
    }
    page.raw("</div>\n");
}

/// A histogram's outline. What lies beyond the reach is in the bins at both ends.
fn stairs(name: String, l: &LayerDiagnosis) -> Series {
    let share = |i: usize| 100.0 * l.histogram[i] as f64 / l.weights.max(1) as f64;
    let ends = |i: usize| [(edge(i) - WIDTH, share(i)), (edge(i), share(i))];
    Series::line(name, (0..BINS).flat_map(ends).collect())
}

/// At most `most` of the items, the first and the last among them, evenly spread.
fn spread<T>(items: &[T], most: usize) -> Vec<&T> {
    let last = items.len().saturating_sub(1);
    match items.len() <= most {
        true => items.iter().collect(),
        false => (0..most).map(|i| &items[(i * last + (most - 1) / 2) / (most - 1)]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn both_ends_are_shown() {
        let items: Vec<usize> = (0..100).collect();
        for most in [2, 4, 24, 99] {
            let some = spread(&items, most);
            assert!(some.len() == most && *some[0] == 0 && *some[most - 1] == 99, "{some:?}");
            assert!(some.windows(2).all(|w| w[0] < w[1]));
        }
        assert_eq!(
            (spread(&items, 100).len(), spread(&items[..1], 4).len(), spread(&items[..0], 4).len()),
            (100, 1, 0)
        );
    }
}
