//! The complexity of an image, by hand.

use autobidet::eval::complexity::complexity;

use super::close;

/// Locations of a prior: the same log-variance four times, then the means.
fn location(log_variance: f32, means: [f32; 4]) -> [f32; 8] {
    let v = log_variance;
    [v, v, v, v, means[0], means[1], means[2], means[3]]
}

#[test]
fn terms_by_hand() {
    // One object, six priors: three negatives are mined, those with the largest entropies.
    let (two, three) = (2f32.ln(), 3f32.ln());
    let logits = [
        [0.0, 0.0],       // object: ln 2
        [three, 0.0],     // background at 3/4: ln 4/3, left out
        [0.0, three],     // background at 1/4: ln 4
        [0.0, 0.0],       // ln 2
        [0.0, 0.0],       // ln 2, left out: a higher index than its equals
        [0.0, 2.0 * two], // background at 1/5: ln 5
    ];
    let mut locations = [location(9.0, [7.0; 4]); 6];
    locations[0] = location(two, [1.0, 2.0, 0.5, 0.0]);
    let mut loc = [[3.0; 4]; 6];
    loc[0] = [0.0, 0.0, 0.5, 0.0];
    let run = |labels: &[u32]| complexity(locations.as_flattened(), logits.as_flattened(), &loc, labels);
    let c = run(&[1, 0, 0, 0, 0, 0]).unwrap().unwrap();
    assert_eq!(c.positives, 1);
    let near = |got: f64, want: f64, what: &str| assert!((got - want).abs() < 1e-6, "{what}: {got}, want {want}");
    near(c.class, 2f64.ln() + 4f64.ln() + 2f64.ln() + 5f64.ln(), "class");
    near(c.location, 2.5, "half of 1 + 4");
    near(c.location_with_variance, 0.5 * (2.5 + 4.0 * 2f64.ln()), "with variance 2");
    close(c.total(), c.class + c.location, "total");
    close(c.total_with_variance(), c.class + c.location_with_variance, "total with variance");
    assert_eq!(run(&[0; 6]).unwrap(), None);
}

#[test]
fn objects_share_and_negatives_run_out() {
    // Two objects of three priors: one negative is left. Every entropy is ln 2, every error 1 in one coordinate.
    let locations = [location(0.0, [1.0, 0.0, 0.0, 0.0]); 3];
    let c = complexity(locations.as_flattened(), &[0.0; 6], &[[0.0; 4]; 3], &[1, 1, 0]).unwrap().unwrap();
    assert_eq!(c.positives, 2);
    close(c.class, 1.5 * 2f64.ln(), "class");
    close(c.location, 0.5, "location");
    close(c.location_with_variance, 0.5, "of variance 1");
    // The largest logit sets no limit.
    let c = complexity(
        locations.as_flattened(),
        &[500.0, -500.0, 0.0, 0.0, 0.0, 0.0],
        &[[1.0, 0.0, 0.0, 0.0]; 3],
        &[1, 0, 0],
    );
    close(c.unwrap().unwrap().class, 1000.0 + 2.0 * 2f64.ln(), "a sure mistake");
}

#[test]
fn numbers_that_do_not_fit() {
    for (locations, logits, labels) in [(23, 6, 3), (24, 5, 3), (24, 3, 3), (24, 6, 2)] {
        let got = complexity(&[0.0; 24][..locations], &[0.0; 24][..logits], &[[0.0; 4]; 3], &[0; 16][..labels]);
        assert!(got.is_err(), "{locations} {logits} {labels}");
    }
    assert!(complexity(&[0.0; 8], &[0.0; 2], &[[0.0; 4]], &[2]).is_err(), "a label that no logit stands for");
}
