//! SIGINT and SIGTERM ask the running operation to stop; a second one ends the process at once.

use std::sync::Arc;
use std::thread;

use nydus_convert::Stop;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A request to stop that the signals set.
pub fn stop_on_signals() -> std::io::Result<Arc<Stop>> {
    let stop = Arc::new(Stop::new());
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let request = Arc::clone(&stop);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if request.requested().is_some() {
                // The default action cannot fail for these two.
                let _ = signal_hook::low_level::emulate_default_handler(signal);
            }
            request.request(signal);
        }
    })?;
    Ok(stop)
}
