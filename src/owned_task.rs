//! A background task with an owner.

use tokio::{runtime::Handle, task::JoinHandle};

use crate::lock::Lock;

/// One owned task. The drop of this value ends the task.
#[derive(Debug, Default)]
pub(crate) struct Task(Lock<Option<JoinHandle<()>>>);

impl Task {
    /// Starts the task unless it runs. A task also ends with its runtime. Does nothing outside a
    /// runtime.
    pub(crate) fn keep<F>(&self, make: impl FnOnce() -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = self.0.lock();
        if running.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            *running = Some(runtime.spawn(make()));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(task) = self.0.get_mut().take() {
            task.abort();
        }
    }
}
