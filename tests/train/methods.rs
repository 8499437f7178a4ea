//! Every method trains, resumes bit-equal and evaluates; what the information-bottleneck term does to the maps.

use std::sync::Arc;

use autobidet::config::{Binarization, InformationBottleneck, Method};
use autobidet::device::Device;
use autobidet::plan::PlanLimits;
use autobidet::train::{feed, first_weights, training_plan};

use super::slices::{batch, detector, scalars};
use super::{Session, config, same};

/// Every name, and combinations that have none.
fn methods() -> Vec<Method> {
    let named = |n| Method::named(n).unwrap();
    let mut all = Method::NAMED.map(|(_, m)| m).to_vec();
    for n in ["float", "bidet-sc"] {
        all.push(Method { shortcut: false, ..named(n) });
    }
    all.push(Method { shortcut: true, ..named("bidet") });
    for information_bottleneck in [InformationBottleneck::PreNorm, InformationBottleneck::Bernoulli] {
        all.push(Method { information_bottleneck, ..named("bidet-sc") });
    }
    all
}

#[test]
fn every_method_trains_resumes_bit_equal_and_evaluates() {
    for method in methods() {
        let mut c = config();
        c.model.method = method;
        (c.train.epochs, c.train.steps, c.train.eval_every, c.train.extra_terms_from) = (0.0, 4, 4, 0.25);
        let [whole, halves] = [(); 2].map(|_| tempfile::tempdir().unwrap());
        let session = Session::default();
        let outcome = session.run(whole.path(), &c).unwrap();
        assert_eq!((outcome.step, outcome.skipped), (4, 0), "{method}");
        assert!(outcome.evaluation.is_some() && session.warnings().is_empty(), "{method}");
        // Three steps an epoch.
        let two = Session { pause_after: Some(2.0 / 3.0), ..Default::default() };
        assert_eq!(two.run(halves.path(), &c).unwrap().step, 2, "{method}");
        assert_eq!(Session::resumed(halves.path()).unwrap().step, 4, "{method}");
        same(whole.path(), halves.path(), &["last.safetensors", "best.safetensors"]);
    }
}

/// Latent weights that are replaced at every pass, several times a step, leave training repeatable.
#[test]
fn micro_batches_of_replaced_weights_are_finite_and_repeatable() {
    let run = || {
        let mut c = config();
        c.model.method = Method::named("xnor").unwrap();
        (c.train.epochs, c.train.steps, c.train.micro_batch) = (0.0, 6, 1);
        let dir = tempfile::tempdir().unwrap();
        let outcome = Session::default().run(dir.path(), &c).unwrap();
        assert_eq!((outcome.step, outcome.skipped), (6, 0));
        dir
    };
    same(run().path(), run().path(), &["last.safetensors"]);
}

/// The term's value, before its weight, after so many steps on two images with the weight `ib_weight`.
fn after_training(method: Method, ib_weight: f32, steps: u32) -> f32 {
    let (mut c, mut d) = detector("bireal+ib");
    (c.model.method, d.config.method) = (method, method);
    let (plan, net) = training_plan(&d, &c, PlanLimits::HOST, 2).unwrap();
    let mut e = Device::Cpu.executor(Arc::new(plan)).unwrap();
    first_weights(e.as_mut(), 1).unwrap();
    let (images, targets) = batch(&d);
    for step in 0..steps {
        let s = autobidet::train::Scalars { ib_weight, lr: 3e-3, ..scalars(step) };
        feed(e.as_mut(), &net, &s, &images, &targets).unwrap();
        e.run(&["clear", "forward", "backward", "update"]).unwrap();
    }
    let (_, ib) = net.losses.iter().find(|(n, _)| *n == "ib").unwrap();
    e.read_f32(*ib).unwrap()[0]
}

/// With the term what it measures ends below that of the same run without it. Every map of `tiny` is behind a batch norm;
/// none has an L2 norm. The divergence has no gradient where bits are sure and needs a larger weight to be seen so soon.
#[test]
fn the_information_bottleneck_shrinks_what_it_measures() {
    use InformationBottleneck::{Bernoulli, MeanSquare, PreNorm};
    for (binarization, information_bottleneck, weight) in [
        (Binarization::BiReal, MeanSquare, 1.0),
        (Binarization::BiReal, PreNorm, 1.0),
        (Binarization::BiReal, Bernoulli, 10.0),
        (Binarization::Xnor, MeanSquare, 10.0),
    ] {
        let shortcut = binarization == Binarization::BiReal;
        let named = Method::named("bireal+ib").unwrap();
        let method = Method { binarization, shortcut, information_bottleneck, ..named };
        let [without, with] = [0.0, weight].map(|w| after_training(method, w, 20));
        println!("{binarization:?} {information_bottleneck:?}: {without} without, {with} with");
        assert!(with < 0.9 * without, "{method}: {without} without, {with} with");
    }
}
