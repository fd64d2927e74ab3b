use tokio::{runtime::Handle, task::JoinHandle};

use crate::lock::Lock;

/// One task that has an owner: this value's drop ends it.
#[derive(Debug, Default)]
pub(crate) struct Task(Lock<Option<JoinHandle<()>>>);

impl Task {
    /// Starts it where it does not run: the first time, and when the runtime it ran in has ended. Does
    /// nothing outside a runtime.
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
