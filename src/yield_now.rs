//! Yields to other tasks during long work.

use std::{future::Future, pin::pin, task::Context};

/// Schedules another poll of the current task after other tasks have run and new I/O was polled.
///
/// A task that wakes itself is queued at once. tokio then polls I/O only after dozens of polls, so
/// other clients would wait that long.
pub(crate) fn wake_later(cx: &mut Context<'_>) {
    // The first poll passes the waker to the scheduler. Without a scheduler it wakes the task.
    let _pending = pin!(tokio::task::yield_now()).poll(cx);
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        io::Write,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Poll, Wake},
    };

    use tokio::{io::AsyncReadExt, net::UnixStream};

    use super::*;

    /// A single-threaded scheduler polls I/O after 61 polls of tasks that wake themselves.
    #[expect(clippy::disallowed_methods, reason = "the test waits for the task")]
    #[tokio::test]
    async fn io_is_polled_between_two_turns() {
        let (mut here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let mut there = UnixStream::from_std(there).unwrap();
        let read = tokio::spawn(async move { there.read_u8().await.unwrap() });
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            // The reader has waited since the first turn.
            if turns == 2 {
                here.write_all(&[7]).unwrap();
            }
            if read.is_finished() {
                return Poll::Ready(());
            }
            wake_later(cx);
            Poll::Pending
        })
        .await;
        assert!(turns <= 6, "{turns}");
        assert_eq!(read.await.unwrap(), 7);
    }

    #[test]
    fn task_without_a_runtime_is_woken_at_once() {
        #[derive(Default)]
        struct Count(AtomicUsize);

        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Relaxed);
            }
        }

        let count = Arc::new(Count::default());
        wake_later(&mut Context::from_waker(&Arc::clone(&count).into()));
        assert_eq!(count.0.load(Relaxed), 1);
    }
}
