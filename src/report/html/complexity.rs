//! The section on image complexity: s and beta over training, how well images are reconstructed, and a picture of it.

use super::RunReport;
use super::picture::encode;
use super::sections::Page;
use crate::Result;
use crate::report::events::{Complexity, Spread};
use crate::report::plot::{Chart, Series};

pub(super) fn complexity(page: &mut Page, report: &RunReport) -> Result<()> {
    if report.complexity.is_empty() {
        return Ok(());
    }
    page.raw(
        "<section><h2>Image complexity</h2>\n<p class=\"soft\">Each image has its own beta: the larger s, the simpler the \
         image is taken to be, the larger its beta and the less its features are compressed. Means over each epoch, \
         between the smallest and the largest.</p>\n<div class=\"charts\">",
    );
    let curve = |name: &str, f: &dyn Fn(&Complexity) -> f64| {
        Series::line(name, report.complexity.iter().map(|c| (c.step as f64, f(c))).collect())
    };
    let spread = |title: &str, of: &dyn Fn(&Complexity) -> Spread| {
        let mut chart = Chart::new(title, "step", "");
        chart.last_values = true;
        chart
            .with(curve("largest", &|c| of(c).high))
            .with(curve("mean", &|c| of(c).mean))
            .with(curve("smallest", &|c| of(c).low))
    };
    let mut charts = vec![spread("s", &|c| c.s), spread("beta", &|c| c.beta)];
    type Value = fn(&Complexity) -> Option<f64>;
    let single: [(&str, &str, Value); 3] = [
        ("Reconstruction", "mean absolute difference", |c| c.reconstruction),
        ("Reconstruction", "PSNR in dB", |c| c.psnr),
        ("Discriminator", "% told apart", |c| c.discriminator_accuracy.map(|v| 100.0 * v)),
    ];
    for (title, unit, value) in single {
        if report.complexity.iter().any(|c| value(c).is_some()) {
            charts.push(Chart::new(title, "step", unit).with(curve("", &|c| value(c).unwrap_or(f64::NAN))));
        }
    }
    for chart in charts {
        page.put(format_args!("<div>{}</div>\n", chart.fragment()));
    }
    page.raw("</div>\n");
    if let Some(picture) = &report.reconstructions {
        let jpeg = encode(picture, "reconstructions")?;
        page.put(format_args!(
            "<p class=\"soft\">Above: training images of the last step, augmented, in small. Below: what the reconstructor \
             makes of their features.</p>\n<img style=\"max-width:100%;height:auto\" src=\"{}\" width=\"{}\" height=\"{}\" \
             alt=\"images and their reconstructions\">\n",
            jpeg.uri, jpeg.width, jpeg.height
        ));
    }
    page.raw("</section>\n");
    Ok(())
}
