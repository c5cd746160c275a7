//! Progress on stderr: a bar per layer on a terminal, a line per layer elsewhere, or nothing.

use std::collections::HashMap;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use nydus_convert::{LayerLabel, Observer};

use crate::args::{Output, Progress};
use crate::values::show_size;

/// The progress display that the arguments ask for.
pub fn display(output: &Output) -> Box<dyn Observer> {
    let plain =
        !stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match output.progress {
        _ if output.quiet => Box::new(()),
        Progress::None => Box::new(()),
        Progress::Plain => Box::new(Lines),
        Progress::Auto if plain => Box::new(Lines),
        Progress::Auto | Progress::Tty => Box::new(Bars::default()),
    }
}

/// `layer 2/5 0123456789ab`, with the platform in front where there are several.
fn name(layer: &LayerLabel) -> String {
    let digest: String = layer.digest.chars().skip("sha256:".len()).take(12).collect();
    let platform = layer.platform.as_ref().map(|platform| format!("{platform} ")).unwrap_or_default();
    format!("{platform}layer {}/{} {digest}", layer.number, layer.count)
}

/// A layer that is done.
fn done(layer: &LayerLabel, written: u64) -> String {
    let (read, name) = (show_size(layer.size), name(layer));
    if written == layer.size {
        format!("{name}: {read}")
    } else {
        format!("{name}: {read} → {}", show_size(written))
    }
}

struct Lines;

impl Observer for Lines {
    fn layer_finished(&self, layer: &LayerLabel, written: u64) {
        self.note(&done(layer, written));
    }

    fn note(&self, text: &str) {
        // Nobody listening is no reason to fail.
        let _ = writeln!(stderr(), "{text}");
    }
}

#[derive(Default)]
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn with(&self, layer: &LayerLabel, act: impl FnOnce(&ProgressBar)) {
        if let Ok(mut bars) = self.bars.lock() {
            let name = name(layer);
            let bar = bars.entry(name.clone()).or_insert_with(|| {
                // Fits 40 columns; the bar takes what is left of wider ones.
                let style = ProgressStyle::with_template("{prefix} {wide_bar} {percent:>3}%");
                let bar = ProgressBar::new(layer.size).with_prefix(name.replace("layer ", ""));
                self.all.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
            });
            act(bar);
        }
    }
}

impl Observer for Bars {
    fn layer_started(&self, layer: &LayerLabel) {
        self.with(layer, |_| {});
    }

    fn layer_advanced(&self, layer: &LayerLabel, bytes: u64) {
        self.with(layer, |bar| bar.inc(bytes));
    }

    fn layer_finished(&self, layer: &LayerLabel, written: u64) {
        // What is done scrolls up: an image may have more layers than the terminal has lines.
        self.with(layer, ProgressBar::finish_and_clear);
        self.note(&done(layer, written));
    }

    fn note(&self, text: &str) {
        // A terminal that went away is no reason to fail.
        let _ = self.all.println(text);
    }
}
