//! What all pages of the tables and figures have in common: what was trained, on what, and how numbers are written.

use serde_json::{Value, json};

use super::result::{RunResult, without_paths};
use super::{Grid, RESAMPLES, Row, Target};
use crate::report::html::Page;
use crate::report::plot::axis::duration;

/// What a page is made from.
pub struct Context<'a> {
    /// The table or figure.
    pub target: Target,
    /// The grid.
    pub grid: &'a Grid,
    /// Its rows.
    pub rows: &'a [Row],
    /// Results by row and seed.
    pub results: &'a [Vec<RunResult>],
    /// The command that makes it again.
    pub command: &'a str,
}

impl Context<'_> {
    /// Seeds of every row.
    pub fn seeds(&self) -> usize {
        self.results.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// The devices of all runs, each once.
    fn devices(&self) -> Vec<String> {
        let mut out: Vec<String> = self.results.iter().flatten().map(|r| r.device.clone()).collect();
        out.sort();
        out.dedup();
        out
    }

    fn first(&self) -> Option<&RunResult> {
        self.results.iter().flatten().next()
    }

    fn network(&self) -> &'static str {
        self.grid.config().model.name.as_str()
    }

    /// The part of the JSON that says what was trained.
    pub fn about(&self) -> Value {
        let (train, test) = (self.grid.train(), self.grid.test());
        let steps = self.first().map(|r| r.steps);
        json!({
            "name": self.target.as_str(),
            "title": self.target.title(),
            "data": {
                "name": train.name, "classes": train.classes,
                "train": { "split": train.split, "images": train.images.len() },
                "test": { "split": test.split, "images": test.images.len() },
            },
            "model": self.network(),
            "metric": crate::train::METRIC,
            "steps": steps,
            "images_seen": self.first().map(|r| r.images),
            "seeds": self.seeds(),
            "devices": self.devices(),
            "seconds": self.results.iter().flatten().map(|r| r.seconds).sum::<f64>(),
            "skipped_steps": self.results.iter().flatten().map(|r| r.skipped).sum::<u64>(),
            "resamples": RESAMPLES,
            "shared_between_runs": "nothing",
            "paper_is_about": "VOC 2007 test, SSD300 with VGG16, 300,000 steps of 32 images",
            "configuration": without_paths(self.grid.config()),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }

    /// The page with its heading.
    pub fn page(&self) -> Page {
        let (train, test) = (self.grid.train(), self.grid.test());
        let lead = format!(
            "{} on {}: {} training and {} test images, {} steps a run, {}.",
            self.network(),
            train.name,
            train.images.len(),
            test.images.len(),
            self.first().map_or(0, |r| r.steps),
            match self.seeds() {
                1 => "one seed".to_string(),
                n => format!("{n} seeds"),
            },
        );
        Page::new(self.target.title(), &lead)
    }

    /// What can be compared with the paper, and what cannot.
    pub fn what_this_is(&self, page: &mut Page) {
        let images = self.first().map_or(0, |r| r.images);
        page.text(&format!(
            "The paper's numbers are those of VOC 2007 with SSD300 and VGG16 after 300,000 steps of 32 images. Here {} was \
             trained on {} with {images} images a run. So levels cannot be compared, only differences and orders, and only \
             where their intervals are narrow enough.",
            self.network(),
            self.grid.train().name,
        ));
    }

    /// How it was trained, and the command.
    pub fn how(&self, page: &mut Page) {
        let (train, test) = (self.grid.train(), self.grid.test());
        let t = &self.grid.config().train;
        let first = self.first();
        let seconds: f64 = self.results.iter().flatten().map(|r| r.seconds).sum();
        let skipped: u64 = self.results.iter().flatten().map(|r| r.skipped).sum();
        page.section("How").text(
            "Every run is trained by itself from first weights that its seed gives; nothing is shared between runs. Runs of one \
             seed begin with the same weights where their networks are the same and see the same images in the same order, \
             augmented alike. All runs have the same number of steps and are evaluated after the last one.",
        );
        page.facts(&[
            ("network".into(), self.network().into()),
            ("training images".into(), format!("{} ({} {})", train.images.len(), train.name, train.split)),
            ("test images".into(), format!("{} ({} {})", test.images.len(), test.name, test.split)),
            ("classes".into(), train.classes.join(", ")),
            ("steps a run".into(), format!("{} of {} images", first.map_or(0, |r| r.steps), t.batch)),
            ("seeds".into(), self.seeds().to_string()),
            ("resampled test sets".into(), RESAMPLES.to_string()),
            ("trained on".into(), self.devices().join("; ")),
            ("time of all runs".into(), duration(seconds)),
            ("skipped steps".into(), skipped.to_string()),
        ]);
        page.code("", self.command);
        let settings = without_paths(self.grid.config()).to_toml().unwrap_or_default();
        page.code("What all runs have in common", &settings);
    }
}

/// The difference of two numbers that are there.
pub fn minus(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    Some(a? - b?)
}

/// `67.1` of 0.671.
pub fn percent(v: Option<f64>) -> String {
    v.map_or("–".into(), |v| format!("{:.1}", 100.0 * v))
}

/// `+1.3` of 0.013.
pub fn signed(v: Option<f64>) -> String {
    v.map_or("–".into(), |v| format!("{:+.1}", 100.0 * v).replace('-', "−"))
}

/// `1.2 to 3.4` of an interval of fractions.
pub fn span(v: Option<[f64; 2]>) -> String {
    v.map_or("–".into(), |[a, b]| format!("{:.1} to {:.1}", 100.0 * a, 100.0 * b).replace('-', "−"))
}

/// With so many digits after the point.
pub fn number(v: Option<f64>, digits: usize) -> String {
    v.map_or("–".into(), |v| format!("{v:.digits$}").replace('-', "−"))
}
