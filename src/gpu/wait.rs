//! The one place where a page and a program differ: how to wait for the device.

use super::Gpu;
use super::device::device_error;
use crate::Result;

/// The first `bytes` of a buffer that can be mapped, when everything submitted before is done.
pub(super) async fn mapped(gpu: &Gpu, staging: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>> {
    let failed =
        |why: &dyn std::fmt::Display| device_error(&gpu.info().name, format!("reading results back failed: {why}"));
    let slice = staging.slice(..bytes);
    let answer = answer::ask(|done| slice.map_async(wgpu::MapMode::Read, done));
    gpu.wait()?;
    let came = answer.await;
    gpu.check()?;
    came.map_err(|e| failed(&e))?;
    let out = slice.get_mapped_range().map_err(|e| failed(&e))?.to_vec();
    staging.unmap();
    Ok(out)
}

#[cfg(not(target_family = "wasm"))]
mod answer {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// How long to wait for what has come already, if another thread has not just taken it.
    const ANSWER: Duration = Duration::from_secs(60);

    /// Asks at once. The answer comes while the caller waits for the device; were it not so, nothing would be gained by
    /// waiting for it for ever.
    pub fn ask<E: std::fmt::Display + Send + 'static>(
        start: impl FnOnce(Box<dyn FnOnce(Result<(), E>) + Send>),
    ) -> impl Future<Output = Result<(), String>> {
        let (send, receive) = channel();
        start(Box::new(move |r| {
            // The receiver lives until the answer has come.
            let _ = send.send(r);
        }));
        async move {
            match receive.recv_timeout(ANSWER) {
                Ok(r) => r.map_err(|e| e.to_string()),
                Err(_) => Err("no answer came".to_string()),
            }
        }
    }
}

#[cfg(target_family = "wasm")]
mod answer {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Context, Poll, Waker};

    type Slot = Mutex<(Option<Result<(), String>>, Option<Waker>)>;

    struct Answer(Arc<Slot>);

    impl Future for Answer {
        type Output = Result<(), String>;
        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slot.1 = Some(context.waker().clone());
            slot.0.take().map_or(Poll::Pending, Poll::Ready)
        }
    }

    /// Asks at once; the browser calls back.
    pub fn ask<E: std::fmt::Display + Send + 'static>(
        start: impl FnOnce(Box<dyn FnOnce(Result<(), E>) + Send>),
    ) -> impl Future<Output = Result<(), String>> {
        let slot = Arc::new(Slot::default());
        let own = slot.clone();
        start(Box::new(move |r| {
            let mut slot = own.lock().unwrap_or_else(PoisonError::into_inner);
            slot.0 = Some(r.map_err(|e| e.to_string()));
            if let Some(waker) = slot.1.take() {
                waker.wake();
            }
        }));
        Answer(slot)
    }
}
