//! What each table and figure compares, and the paper's numbers.

use std::str::FromStr;

use crate::config::{Beta, Method, RunConfig};
use crate::{Error, Result};

/// A table or figure of the paper or its supplement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// True and false positives over priors.
    Table3,
    /// The parts of the method, one by one.
    Table4,
    /// beta drawn at random.
    Table5,
    /// beta from a variational autoencoder.
    Table6,
    /// Detections and confidence maps.
    Figure1,
    /// The constants of the sine transform.
    Figure2,
    /// Images by the discriminator's opinion.
    Figure3,
    /// The discriminator's opinion against the image's complexity.
    Figure4,
}

impl Target {
    /// All, by the names a user types.
    pub const NAMES: [(&'static str, Target); 8] = [
        ("table3", Target::Table3),
        ("table4", Target::Table4),
        ("table5", Target::Table5),
        ("table6", Target::Table6),
        ("figure1", Target::Figure1),
        ("figure2", Target::Figure2),
        ("figure3", Target::Figure3),
        ("figure4", Target::Figure4),
    ];

    /// The name as typed.
    pub fn as_str(self) -> &'static str {
        Target::NAMES.iter().find(|(_, t)| *t == self).map_or("", |(n, _)| n)
    }

    /// What the page is called.
    pub fn title(self) -> &'static str {
        match self {
            Target::Table3 => "Table 3: true and false positives over priors",
            Target::Table4 => "Table 4: the parts of the method",
            Target::Table5 => "Table 5: beta drawn at random",
            Target::Table6 => "Table 6: beta from a variational autoencoder",
            Target::Figure1 => "Figure 1: detections and confidence",
            Target::Figure2 => "Figure 2: the constants of the sine transform",
            Target::Figure3 => "Figure 3: images by D(G(f))",
            Target::Figure4 => "Figure 4: D(G(f)) and complexity",
        }
    }

    /// Seeds where none are asked for: one where a row is looked at and not measured, or there are many rows.
    pub fn usual_seeds(self) -> u32 {
        match self {
            Target::Figure1 | Target::Figure2 => 1,
            _ => 2,
        }
    }

    /// The rows, the baseline of all differences first.
    pub fn rows(self) -> Vec<Row> {
        let named = |name: &str, label: &str, paper: f64| Row::named(name, label).paper(paper);
        let ours = |name: &str, label: &str, beta: Beta| Row::variant(name, label, beta);
        match self {
            Target::Table3 => vec![
                Row::named("xnor", "Xnor-Net"),
                Row::named("autobidet-sop", "AutoBiDet-SOP"),
                Row::named("autobidet", "AutoBiDet"),
            ],
            Target::Table4 => vec![
                named("bireal", "Bi-Real-Net", 63.8),
                named("bireal+ib", "+ IB", 64.2),
                named("bireal+sop", "+ SOP", 64.5),
                named("bidet-sc", "BiDet (SC)", 66.0),
                named("bireal+aic", "+ AIC", 66.4),
                named("bireal+csop", "+ C-SOP", 66.6),
                named("autobidet-sc", "AutoBiDet (SC)", 67.5),
            ],
            Target::Table5 => vec![
                ours("fixed", "fixed beta", Beta::Fixed).paper(66.6),
                ours("uniform", "s from U[0, 1]", Beta::Uniform).paper(66.4),
                ours("beta13", "s from Beta(1, 3)", Beta::Beta13).paper(66.1),
                ours("beta22", "s from Beta(2, 2)", Beta::Beta22).paper(66.2),
                ours("beta31", "s from Beta(3, 1)", Beta::Beta31).paper(66.3),
                named("autobidet-sc", "s = D(G(f))", 67.5),
            ],
            Target::Table6 => {
                let mut rows = vec![ours("fixed", "fixed beta", Beta::Fixed).paper(66.6)];
                let values = [("0.1", 66.5), ("0.5", 66.8), ("1", 67.1), ("2", 67.0), ("5", 66.4)];
                for (v, paper) in values {
                    rows.push(ours(&format!("vae-{v}"), &format!("VAE {v}"), Beta::Vae).vae(v).paper(paper));
                }
                for (v, _) in values {
                    let (name, label) = (format!("vae-reversed-{v}"), format!("VAE {v}, reversed"));
                    rows.push(ours(&name, &label, Beta::VaeReversed).vae(v));
                }
                rows.push(named("autobidet-sc", "s = D(G(f))", 67.5));
                rows
            }
            Target::Figure1 => vec![
                Row::named("xnor", "Xnor-Net"),
                Row::named("bidet-sc", "BiDet (SC)"),
                Row::named("autobidet-sc", "AutoBiDet (SC)"),
            ],
            Target::Figure3 | Target::Figure4 => vec![Row::named("autobidet-sc", "AutoBiDet (SC)")],
            // The paper's choice first: all others are compared with it.
            Target::Figure2 => {
                let mut rows = vec![Row::named("autobidet-sc", "theta 5, delta 10").constants(0.0, 0.0)];
                for theta in THETAS {
                    for delta in DELTAS {
                        if (theta, delta) != (5.0, 10.0) {
                            let name = format!("theta{theta}-delta{delta}");
                            let label = format!("theta {theta}, delta {delta}");
                            rows.push(Row::variant(&name, &label, Beta::Gan).constants(delta, theta));
                        }
                    }
                }
                rows
            }
        }
    }
}

/// Gains of Figure 2.
pub const THETAS: [f32; 4] = [2.0, 5.0, 8.0, 10.0];
/// Offsets of Figure 2.
pub const DELTAS: [f32; 3] = [5.0, 10.0, 15.0];

impl FromStr for Target {
    type Err = Error;
    fn from_str(s: &str) -> Result<Target> {
        Target::NAMES.iter().find(|(n, _)| *n == s).map(|(_, t)| *t).ok_or_else(|| {
            let names = Target::NAMES.map(|(n, _)| n).join(", ");
            Error::config("reproduce", format!("knows no {s:?}"), format!("Give one of {names}."))
        })
    }
}

/// One row of a grid: a method and its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name in files; rows of different targets with one name are one run.
    pub name: String,
    /// What the page calls it.
    pub label: String,
    /// The paper's mAP in percent, where it has one.
    pub paper: Option<f64>,
    /// The method.
    pub method: Method,
    /// beta of the variational autoencoder; none: the configuration's.
    pub vae_beta: Option<f32>,
    /// delta and theta; none: the configuration's.
    pub constants: Option<[f32; 2]>,
}

impl Row {
    /// A method of [`Method::NAMED`] by its name.
    fn named(name: &str, label: &str) -> Row {
        let method = Method::named(name).unwrap_or_default();
        Row { name: name.into(), label: label.into(), paper: None, method, vae_beta: None, constants: None }
    }

    /// `autobidet-sc` with another source of beta.
    fn variant(name: &str, label: &str, beta: Beta) -> Row {
        let base = Row::named("autobidet-sc", label);
        Row { name: format!("autobidet-sc.{name}"), method: Method { beta, ..base.method }, ..base }
    }

    fn paper(self, map: f64) -> Row {
        Row { paper: Some(map), ..self }
    }

    fn vae(self, beta: &str) -> Row {
        Row { vae_beta: beta.parse().ok(), ..self }
    }

    fn constants(self, delta: f32, theta: f32) -> Row {
        Row { constants: Some([delta, theta]), ..self }
    }

    /// The configuration of this row with a seed, from the grid's own.
    pub fn config(&self, grid: &RunConfig, seed: u32) -> RunConfig {
        let mut c = grid.clone();
        c.model.method = self.method;
        c.train.seed = seed;
        c.aic.vae_beta = self.vae_beta.unwrap_or(c.aic.vae_beta);
        if let Some([delta, theta]) = self.constants {
            (c.aic.delta, c.aic.theta) = (delta, theta);
        }
        c
    }

    /// The name of this row's run with a seed.
    pub fn run(&self, seed: u32) -> String {
        format!("{}-seed{seed}", self.name)
    }
}
