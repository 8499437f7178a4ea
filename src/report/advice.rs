//! Advice on the training of binary layers: where a figure of two looks in a row is out of its usual range.
//!
//! What is usual is what runs that train well show (docs/training.md, "Diagnostics"): each bound lies clearly beyond it, so
//! that a sentence is worth reading. One look alone says nothing; the first ones
//! of a run least of all.

use super::diagnosis::{Diagnosis, LayerDiagnosis};
use super::plot::axis::number;

/// Share of all binary weights that flip in a twentieth of a run, below which a network hardly learns its signs. Runs that
/// train well show 4 to 20 % in their first half. Only asked there: every schedule ends with a rate at which nothing flips.
const FEW_FLIPS: f64 = 0.01;
/// The same above which it does not come to rest. Only asked in the last tenth of a run, where those runs show under 1 %.
const MANY_FLIPS: f64 = 0.05;
/// Share of a layer's inputs inside the window of the gradient, below which hardly any gradient passes the sign. Usual:
/// 34 to 90 %.
const FEW_INSIDE: f64 = 0.25;
/// Share of a layer's input channels with one sign for a whole batch, above which much of the layer computes constants.
/// Usual: none.
const MANY_CONSTANT: f64 = 0.05;
/// Fewer values a channel than this can have one sign by chance.
const ENOUGH_VALUES: u64 = 200;
/// Length of a layer's gradient by that of its weights, above which a step of the optimizer is a leap. Usual: at most 0.1.
const STEEP: f64 = 1.0;
/// The same below which no gradient arrives. Only asked of the first layer, which every loss reaches: the last ones have
/// none wherever a batch has no large object.
const FLAT: f64 = 1e-7;
/// A share of a run that flips are counted in.
const TWENTIETH: f64 = 0.05;

/// What an advice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Hardly any sign flips.
    FewFlips,
    /// Signs still flip when they should be at rest.
    ManyFlips,
    /// Activations lie outside the gradient's window.
    FewInside,
    /// Channels have one sign for a whole batch.
    ConstantChannels,
    /// Gradients are very large beside the weights.
    Steep,
    /// Gradients are nothing.
    Flat,
}

/// A sentence of advice.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// What it is about.
    pub rule: Rule,
    /// The sentence: what is out of range, where, and what may help.
    pub message: String,
}

/// The advice that follows from two looks in a row; none from one alone.
pub fn advice(before: Option<&Diagnosis>, now: &Diagnosis) -> Vec<Advice> {
    let Some(before) = before else { return Vec::new() };
    let mut out = Vec::new();
    let mut say = |rule, message: String| out.push(Advice { rule, message });

    // Looks that are closer than a twentieth of the run see only part of its flips. Looks that are farther apart are taken as
    // they are: signs that flip and flip back are not seen.
    let pace = |d: &Diagnosis| d.flipped() * (TWENTIETH * d.of as f64 / d.since as f64).max(1.0);
    let (was, is) = (pace(before), pace(now));
    let share = now.step as f64 / now.of as f64;
    let flips =
        format!("{} of the binary weights have another sign than {} steps before", percent(now.flipped()), now.since);
    if share <= 0.5 && was < FEW_FLIPS && is < FEW_FLIPS {
        let message = "hardly any sign flips: only";
        let cause = "The learning rate is too low for latent weights of this size: raise --lr";
        say(Rule::FewFlips, format!("{message} {flips}. {cause}"));
    }
    if share > 0.9 && was > MANY_FLIPS && is > MANY_FLIPS {
        let cause = "Lower --lr, or let it fall to zero (schedule short)";
        say(Rule::ManyFlips, format!("signs still flip a lot near the end: {flips}. {cause}"));
    }
    // Layers for which something holds at both looks, with what they show now, the worst first.
    let layers = |what: &dyn Fn(&LayerDiagnosis) -> Option<f64>, largest: bool| -> Vec<(String, f64)> {
        let held = |l: &LayerDiagnosis| before.layers.iter().any(|b| b.layer == l.layer && what(b).is_some());
        let mut found: Vec<(String, f64)> =
            now.layers.iter().filter(|l| held(l)).filter_map(|l| Some((l.layer.clone(), what(l)?))).collect();
        found.sort_by(|a, b| if largest { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
        found
    };
    let outside = layers(&|l| (l.inside < FEW_INSIDE).then_some(l.inside), false);
    if let Some((layer, inside)) = outside.first() {
        say(
            Rule::FewInside,
            format!(
                "most of what {} reads lies outside the gradient's window: {} is within -1..1 in {layer}, so gradients \
                 vanish at its sign. Check the scale of the batch norm before it, or lower --lr",
                names(&outside),
                percent(*inside)
            ),
        );
    }
    let constant = |l: &LayerDiagnosis| {
        (l.values >= ENOUGH_VALUES && l.constant_inputs > MANY_CONSTANT).then_some(l.constant_inputs)
    };
    let constant = layers(&constant, true);
    if let Some((layer, share)) = constant.first() {
        say(
            Rule::ConstantChannels,
            format!(
                "channels are dead in {}: {} of those that {layer} reads have one sign for a whole batch and carry nothing. \
                 Lower --lr, or use fewer channels",
                names(&constant),
                percent(*share),
            ),
        );
    }
    let steep = layers(&|l| Some(l.gradient_ratio()).filter(|r| *r > STEEP), true);
    if let Some((layer, ratio)) = steep.first() {
        say(
            Rule::Steep,
            format!(
                "gradients are very large in {}: {} times the length of the weights in {layer}. Lower --lr, or \
                 train.clip_norm",
                names(&steep),
                number(*ratio)
            ),
        );
    }
    let arrives = |d: &Diagnosis| d.layers.first().is_none_or(|l| l.gradient.is_nan() || l.gradient_ratio() >= FLAT);
    if let Some(first) = now.layers.first()
        && !arrives(before)
        && !arrives(now)
    {
        let layer = &first.layer;
        say(
            Rule::Flat,
            format!("no gradient arrives at {layer}, the first binary layer: a layer after it is saturated"),
        );
    }
    out
}

/// `body.4.conv`, `body.4.conv and body.5.conv`, `body.4.conv and 3 more layers`.
fn names(layers: &[(String, f64)]) -> String {
    match layers {
        [] => String::new(),
        [a] => a.0.clone(),
        [a, b] => format!("{} and {}", a.0, b.0),
        [a, rest @ ..] => format!("{} and {} more layers", a.0, rest.len()),
    }
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look at two layers that are well, `share` of the way through a run of 2000 steps.
    fn look(share: f64) -> Diagnosis {
        let layer = |name: &str| LayerDiagnosis {
            layer: name.to_string(),
            weights: 1000,
            flipped: 0.02,
            norm: 2.0,
            gradient: 0.2,
            values: 6400,
            inside: 0.6,
            constant_inputs: 0.01,
            ..LayerDiagnosis::default()
        };
        let step = (share * 2000.0) as u64;
        Diagnosis { step, of: 2000, since: 100, layers: vec![layer("a"), layer("b")], ..Diagnosis::default() }
    }

    /// The rules that speak after two looks, both changed by `change`; after one of them changed, none may.
    fn rules(share: f64, change: impl Fn(&mut LayerDiagnosis)) -> Vec<(Rule, String)> {
        let (before, mut now) = (look(share - 0.05), look(share));
        let mut changed = before.clone();
        changed.layers.iter_mut().chain(&mut now.layers).for_each(change);
        assert!(advice(Some(&before), &now).is_empty() && advice(None, &now).is_empty());
        assert!(advice(Some(&changed), &look(share)).is_empty());
        advice(Some(&changed), &now).into_iter().map(|a| (a.rule, a.message)).collect()
    }

    #[track_caller]
    fn only(found: Vec<(Rule, String)>, rule: Rule, parts: &[&str]) {
        let [(got, message)] = &found[..] else { panic!("{found:?}") };
        assert_eq!(*got, rule);
        parts.iter().for_each(|p| assert!(message.contains(p), "{p:?} in {message}"));
    }

    #[test]
    fn a_run_that_is_well_is_left_alone() {
        for share in [0.1, 0.5, 0.95, 1.0] {
            assert!(rules(share, |_| ()).is_empty());
        }
    }

    #[test]
    fn flips_are_few_only_early_and_many_only_late() {
        let few = |l: &mut LayerDiagnosis| l.flipped = 0.002;
        let parts = ["only 0.2 % of the binary weights have another sign than 100 steps before", "raise --lr"];
        only(rules(0.3, few), Rule::FewFlips, &parts);
        assert!(rules(0.7, few).is_empty() && rules(1.0, few).is_empty());
        let many = |l: &mut LayerDiagnosis| l.flipped = 0.3;
        only(rules(0.95, many), Rule::ManyFlips, &["30 % of the binary weights", "Lower --lr"]);
        assert!(rules(0.3, many).is_empty() && rules(0.8, many).is_empty());
    }

    #[test]
    fn looks_at_every_step_change_no_advice() {
        // 0.3 % a step are 30 % in a twentieth of the run, 0.003 % are 0.3 %.
        let every_step = |flipped: f64| {
            let (mut before, mut now) = (look(0.2), look(0.2));
            for d in [&mut before, &mut now] {
                d.since = 1;
                d.layers.iter_mut().for_each(|l| l.flipped = flipped);
            }
            advice(Some(&before), &now)
        };
        assert!(every_step(0.003).is_empty());
        assert_eq!(every_step(0.00003)[0].rule, Rule::FewFlips);
    }

    #[test]
    fn layers_are_named_the_worst_first() {
        let outside = |l: &mut LayerDiagnosis| l.inside = if l.layer == "b" { 0.05 } else { 0.1 };
        only(rules(0.3, outside), Rule::FewInside, &["what b and a reads", "5 % is within -1..1 in b"]);
        let one = |l: &mut LayerDiagnosis| l.constant_inputs = if l.layer == "b" { 0.31 } else { 0.0 };
        only(rules(0.9, one), Rule::ConstantChannels, &["dead in b: 31 % of those that b reads"]);
        let steep = |l: &mut LayerDiagnosis| l.gradient = if l.layer == "a" { 100.0 } else { 1.0 };
        only(rules(0.3, steep), Rule::Steep, &["large in a: 50 times the length", "in a. Lower", "clip_norm"]);
        let flat = |l: &mut LayerDiagnosis| l.gradient = 0.0;
        only(rules(0.3, flat), Rule::Flat, &["no gradient arrives at a, the first"]);
        assert!(rules(0.3, |l| l.gradient = if l.layer == "b" { 0.0 } else { 0.2 }).is_empty());
    }

    #[test]
    fn few_values_prove_nothing() {
        let small = |l: &mut LayerDiagnosis| (l.values, l.constant_inputs) = (150, 0.5);
        assert!(rules(0.3, small).is_empty());
        // A step that was skipped has no gradient: that is told elsewhere.
        assert!(rules(0.3, |l| l.gradient = f64::NAN).is_empty());
    }
}
