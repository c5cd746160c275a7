//! Memory for the windows of zstd frames, counted over all decoders of the process.
//!
//! Layers are read side by side, and each may ask for hundreds of mebibytes. Together they get [`SHARED`] bytes; a frame
//! that needs more than that alone gets all of it, and so decodes while no other large window is there.

use std::sync::{Condvar, Mutex, PoisonError};

/// What all windows have together. It is the most that `zstd` decodes without an option of its own (`--long=27`).
const SHARED: u64 = 128 << 20;
/// Windows up to this size are not counted: all levels but the `--ultra` and `--long` ones stay below.
const SMALL: u64 = 8 << 20;

static HELD: Mutex<u64> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

/// The right to one large window, as long as it lives.
pub(super) struct Window(u64);

impl Window {
    /// Waits until there is room for a window of so many bytes; small ones need none.
    pub fn hold(bytes: u64) -> Option<Self> {
        if bytes <= SMALL {
            return None;
        }
        let share = bytes.min(SHARED);
        let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |held: &mut u64| *held + share > SHARED;
        *FREED.wait_while(held, is_full).unwrap_or_else(PoisonError::into_inner) += share;
        Some(Self(share))
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        *HELD.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn large_windows_wait_for_each_other() {
        static NOW: AtomicU64 = AtomicU64::new(0);
        assert!(Window::hold(SMALL).is_none());
        std::thread::scope(|scope| {
            for number in 0..24 {
                scope.spawn(move || {
                    let bytes = [SHARED / 2, SHARED, 4 * SHARED][number % 3];
                    let window = Window::hold(bytes).unwrap();
                    let now = NOW.fetch_add(bytes.min(SHARED), Ordering::SeqCst) + bytes.min(SHARED);
                    assert!(now <= SHARED);
                    std::thread::yield_now();
                    NOW.fetch_sub(bytes.min(SHARED), Ordering::SeqCst);
                    drop(window);
                });
            }
        });
    }
}
