//! Processes that share a store and are killed at any moment.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nydus_convert_chunk::store::{ChunkStore, PrunePolicy, VerifyOptions};
use tempfile::TempDir;

use crate::place::{Random, assert_sound, class, key, packed, packed_with, try_publish};

/// Where a process works that this test has started, and what decides what it does.
const CHILD: &str = "NYDUS_CONVERT_TEST_STORE";
const LAYERS: usize = 40;
const KILLS: usize = 51;

fn numbers(layer: usize) -> Vec<usize> {
    (layer * 3..layer * 3 + 6 + layer % 3).collect()
}

/// Not a test by itself: what the processes do until they are killed.
#[test]
fn child() {
    let Ok(how) = env::var(CHILD) else { return };
    let (seed, dir) = how.split_once(' ').unwrap();
    let mut random = Random(seed.parse().unwrap());
    let mut out = std::io::stdout();
    let mut say = |what: String| {
        out.write_all(format!("\n{what}\n").as_bytes()).unwrap();
        out.flush().unwrap();
    };
    let store = ChunkStore::open(Path::new(dir)).unwrap();
    say("ready".to_owned());
    loop {
        let number = random.below(LAYERS);
        if random.below(8) == 0 {
            store.prune(&PrunePolicy::default()).unwrap();
            let problems = store.verify(VerifyOptions::default()).unwrap().problems;
            for problem in problems {
                say(format!("problem {problem}"));
            }
        } else if random.below(8) == 0 || store.find_layer(key(number as u8)).unwrap().is_none() {
            let forms = Arc::new(store.forms(&class(), None));
            let packed = packed_with(&numbers(number), Some(forms));
            try_publish(&store, &packed, Some((key(number as u8), &[number as u8; 3000]))).unwrap();
            say(format!("done {number}"));
        }
    }
}

struct Process {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Process {
    fn start(dir: &Path, seed: u64) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "processes::child", "--nocapture"])
            .env(CHILD, format!("{seed} {}", dir.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, all) = (BufReader::new(child.stdout.take().unwrap()).lines(), Arc::clone(&said));
        let reader = thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                all.lock().unwrap().push(line);
            }
        });
        Self { child, said, reader }
    }

    fn wait_until_ready(&mut self) {
        while !self.said.lock().unwrap().iter().any(|line| line == "ready") {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended by itself");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it, and gives the layers that it said were done.
    fn kill(mut self) -> BTreeSet<usize> {
        assert!(self.child.try_wait().unwrap().is_none(), "it ended by itself");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.reader.join().unwrap();
        let said = self.said.lock().unwrap();
        let problems: Vec<_> = said.iter().filter(|line| line.starts_with("problem")).collect();
        assert!(problems.is_empty(), "{problems:?}");
        said.iter().filter_map(|line| line.strip_prefix("done ")?.parse().ok()).collect()
    }
}

/// Three processes work in `dir` while one after the other is killed; gives what they said was done.
fn kill_at_random(dir: &Path, kills: usize, seed: u64) -> BTreeSet<usize> {
    let mut random = Random(seed);
    let mut done = BTreeSet::new();
    let start = |random: &mut Random| Process::start(dir, random.below(1 << 30) as u64);
    let mut processes: Vec<Process> = (0..3).map(|_| start(&mut random)).collect();
    for kill in 0..kills {
        let mut process = processes.swap_remove(random.below(3));
        // Some are killed while they open the store.
        if kill % 3 > 0 {
            process.wait_until_ready();
        }
        thread::sleep(Duration::from_micros(random.below(60_000) as u64));
        done.extend(process.kill());
        processes.push(start(&mut random));
    }
    for process in processes {
        done.extend(process.kill());
    }
    done
}

#[test]
fn kills_lose_nothing_that_was_done() {
    for round in 0..3 {
        let dir = TempDir::new().unwrap();
        let done = kill_at_random(dir.path(), KILLS / 3, round);
        assert!(!done.is_empty());
        let store = ChunkStore::open(dir.path()).unwrap();
        assert_sound(&store);
        for number in done {
            let layer = store.find_layer(key(number as u8)).unwrap().unwrap();
            let mut bytes = vec![0; layer.size as usize];
            layer.data.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == packed(&numbers(number)).bytes, "{number}");
            assert_eq!(layer.body, [number as u8; 3000]);
        }
        store.prune(&PrunePolicy::default()).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("unfinished")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dir.path().join("sessions")).unwrap().count(), 1);
        let report = store.verify(VerifyOptions::default()).unwrap();
        assert_eq!((report.unlisted, report.problems.len()), (0, 0));
    }
}
