//! Values whose end takes long. A snapshot that was replaced ends with its last reader, and that may be a request: a hundred
//! thousand policies take a tenth of a second to free, for which that request and all behind it would wait.

use std::mem;
use std::ops::Deref;
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// How much the thread gives way to others: as much as can be.
const GIVES_WAY: i32 = 19;

/// What ends on the thread, whatever it is.
type Ended = Box<dyn Send>;

/// Where to send what ends; nowhere, if there is no thread to be had.
static ENDING: LazyLock<Option<Sender<Ended>>> = LazyLock::new(|| {
    let (sender, ended) = mpsc::channel::<Ended>();
    let free = move || {
        if let Err(error) = rustix::process::nice(GIVES_WAY) {
            tracing::debug!("freeing memory competes with decisions for the processor: {error}");
        }
        ended.into_iter().for_each(drop);
    };
    match thread::Builder::new().name("aside".to_owned()).spawn(free) {
        Ok(_runs_to_the_end) => Some(sender),
        Err(error) => {
            tracing::warn!("what was replaced is freed by whoever reads it last: {error}");
            None
        }
    }
});

/// A `T` that is dropped on a thread of its own, of the lowest priority. Whoever drops it only leaves a default in its place.
#[derive(Debug, Default)]
pub struct Aside<T: Default + Send + 'static>(T);

impl<T: Default + Send + 'static> Aside<T> {
    /// Has `value` end on that thread, not here.
    pub const fn new(value: T) -> Self {
        Self(value)
    }
}

impl<T: Default + Send + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Default + Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        if let Some(ending) = &*ENDING {
            // The thread ends with the process only; should it have ended all the same, the value ends here.
            drop(ending.send(Box::new(mem::take(&mut self.0))));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread::ThreadId;

    use super::*;

    #[derive(Default)]
    struct Tells(Option<Sender<ThreadId>>);

    impl Drop for Tells {
        fn drop(&mut self) {
            if let Some(told) = &self.0 {
                told.send(thread::current().id()).unwrap();
            }
        }
    }

    #[test]
    fn a_value_ends_once_and_not_where_it_was_dropped() {
        let (told, ends) = mpsc::channel();
        drop(Aside::new(Tells(Some(told))));
        assert_ne!(ends.recv().unwrap(), thread::current().id());
        ends.recv().unwrap_err();
    }
}
