//! A device that goes away in the middle: a clear error, every time, and neither a panic nor a wait without end.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use autobidet::Error;
use autobidet::config::ModelConfig;
use autobidet::device::Device;
use autobidet::gpu::{Gpu, GpuExecutor, Once, OnceBuffer, OnceKind};
use autobidet::models::Detector;
use autobidet::plan::{Executor, Plan};
use autobidet::predict::Predictor;
use autobidet::testing::{TestDevice, selftest::own_cases, test_gpu};
use autobidet::train::first_weights;

/// Runs `work`, which must end.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    match wait.recv_timeout(Duration::from_secs(120)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("still waiting for a device that is lost"),
        _ => thread.join().unwrap(),
    }
}

#[track_caller]
fn says_lost<T>(result: autobidet::Result<T>) {
    let e = result.map(|_| ()).unwrap_err();
    assert!(matches!(e, Error::Device { .. }), "{e}");
    let text = e.to_string();
    assert!(text.contains("was lost") && text.contains("--resume") && text.contains("--device cpu"), "{text}");
}

fn plan(gpu: &Gpu) -> Arc<Plan> {
    let case = own_cases().next().unwrap();
    Arc::new(case.plan(gpu.limits()).unwrap())
}

/// Everything that can be asked of a device, after it was lost.
fn all_fails(gpu: &Arc<Gpu>, e: &mut GpuExecutor) {
    let all: Vec<usize> = (0..e.plan().steps.len()).collect();
    // What is given to a device may fail later, but waiting for it tells.
    let _ = e.run_steps(&all);
    for _ in 0..3 {
        says_lost(e.wait());
        says_lost(gpu.check());
        says_lost(e.run_steps(&all));
    }
    let views: Vec<_> = e.plan().steps.iter().flat_map(|s| s.uses().1).take(1).collect();
    says_lost(pollster::block_on(e.fetch_views(&views)));
    says_lost(GpuExecutor::new(gpu.clone(), plan(gpu)));
    let buffers = [OnceBuffer { group: 0, binding: 0, kind: OnceKind::ReadWrite, bytes: &[0; 4] }];
    let source = "@group(0) @binding(0) var<storage, read_write> b: array<u32>;
        @compute @workgroup_size(1) fn main() { b[0] = 1u; }";
    let job = Once { label: "test", source, entry_point: "main", constants: &[], buffers: &buffers, groups: [1, 1, 1] };
    says_lost(gpu.run_once(&job));
}

#[test]
fn everything_is_an_error_after_a_device_was_lost() {
    ends(|| {
        let gpu = Gpu::noop().unwrap();
        let mut e = GpuExecutor::new(gpu.clone(), plan(&gpu)).unwrap();
        e.run(&["forward"]).unwrap();
        gpu.destroy();
        all_fails(&gpu, &mut e);
    });
}

/// An adapter of this machine, opened for this test alone.
fn own_gpu() -> Option<Arc<Gpu>> {
    let Some(TestDevice::Gpu(shared)) = test_gpu().unwrap() else { return None };
    let all = autobidet::testing::all_adapters().unwrap();
    all.into_iter().find(|g| g.info().name == shared.info().name)
}

#[test]
fn a_device_that_is_lost_while_a_network_runs_ends_the_run_with_an_error() {
    let Some(gpu) = own_gpu() else { return };
    ends(move || {
        let config = ModelConfig { classes: vec!["a".to_string()], ..Default::default() };
        let mut p = Predictor::new(Detector::new(&config).unwrap(), &Device::Gpu(gpu.clone()), 1).unwrap();
        first_weights(p.executor(), 1).unwrap();
        let image = vec![0.0; p.detector.preprocess.floats()];
        p.forward(&image, 1).unwrap();
        let other = gpu.clone();
        let thief = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            other.destroy();
        });
        let failure = (0..100_000).find_map(|_| p.forward(&image, 1).err());
        thief.join().unwrap();
        says_lost::<()>(Err(failure.expect("a run fails")));
        says_lost(p.forward(&image, 1));
        says_lost(p.executor().wait());
    });
}
