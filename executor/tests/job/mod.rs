//! A job of real worker processes for tests: a hand-made plan, a little text, and the environment that torchrun would set.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use pleach_data::tokens::{Kind, TokenWriter};
use pleach_plan::{Component, Plan, json as plans};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sample::{Shape, plan};

/// A folder with a plan, its data and its run.
pub struct Job {
    pub folder: TempDir,
    pub plan: Plan,
}

impl Job {
    /// A job of a shape for so many steps, with a checkpoint every `every` steps.
    pub fn new(shape: Shape, steps: u64, every: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut plan = plan(shape);
        plan.training.steps = steps;
        plan.training.saving.every = Some(every);
        plan.training.saving.keep = 3;
        plan.data.mix = vec![Component {
            name: "text".into(),
            source: None,
            files: vec!["*".into()],
            repeat: 1.0,
            weight: [1, 1],
            fingerprint: None,
        }];
        prepare(&folder.path().join("data"));
        let job = Self { folder, plan };
        job.write_plan("plan.json");
        job
    }

    /// Writes the plan under a name, with the hash it has now.
    pub fn write_plan(&self, name: &str) {
        let mut plan = self.plan.clone();
        plan.hashes.placement = plans::placement_hash(&plan);
        fs::write(self.path(name), plans::write(&plan)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts all ranks on the plan `plan.json` and the run's folder `run`.
    pub fn start(&self, run: &str, more: &[&str]) -> Vec<Worker> {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        (0..self.plan.mesh.ranks())
            .map(|rank| self.start_rank(rank, self.plan.mesh.ranks(), port, run, more))
            .collect()
    }

    pub fn start_rank(&self, rank: u32, world: u32, port: u16, run: &str, more: &[&str]) -> Worker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pleach-worker"))
            .args(["--plan".as_ref(), self.path("plan.json").as_os_str()])
            .args(["--run".as_ref(), self.path(run).as_os_str()])
            .args(["--data".as_ref(), self.path("data").as_os_str()])
            .args(more)
            .env("RANK", rank.to_string())
            .env("WORLD_SIZE", world.to_string())
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", port.to_string())
            .env("PLEACH_SECRET", "a test's secret")
            .env("OMP_NUM_THREADS", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Worker { child, events }
    }

    /// Runs all ranks to their end, which must be good; gives rank 0's loss of each step.
    pub fn finish(&self, run: &str, more: &[&str]) -> Vec<f64> {
        for worker in self.start(run, more) {
            let (status, said) = worker.end(Duration::from_secs(60));
            assert!(status.success(), "{status}: {said}");
        }
        self.losses(run)
    }

    /// The losses that `metrics.jsonl` holds.
    pub fn losses(&self, run: &str) -> Vec<f64> {
        let text = fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (number, line) in (1..).zip(&lines) {
            assert_eq!(line["step"], json!(number), "steps follow each other");
        }
        lines
            .iter()
            .map(|line| line["loss"].as_f64().unwrap())
            .collect()
    }

    /// The failure record of a rank.
    pub fn failure(&self, run: &str, rank: u32) -> Value {
        let path = self.path(run).join(format!("failures/rank-{rank}.json"));
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    }
}

/// One worker process.
pub struct Worker {
    pub child: Child,
    events: BufReader<ChildStdout>,
}

impl Worker {
    /// Reads events until one of this name comes that says `step` or later.
    pub fn wait_for(&mut self, name: &str, step: u64) {
        loop {
            let mut line = String::new();
            assert!(
                self.events.read_line(&mut line).unwrap() > 0,
                "ended before `{name}` of step {step}"
            );
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == json!(name) && event["step"].as_u64() >= Some(step) {
                return;
            }
        }
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the number is its own.
        unsafe { libc::kill(self.child.id() as i32, signal) };
    }

    /// Waits for its end; gives its status and its log.
    pub fn end(mut self, patience: Duration) -> (ExitStatus, String) {
        // A full pipe would hold the worker up.
        let mut events = self.events;
        let reader = std::thread::spawn(move || std::io::copy(&mut events, &mut std::io::sink()));
        let limit = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > limit {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("a worker did not end within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        reader.join().unwrap().unwrap();
        let mut log = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut log).unwrap();
        (status, log)
    }
}

/// Prepared data of one component, ids 0 to 7 only.
fn prepare(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    let mut writer = TokenWriter::create(&folder.join("0-text.bin"), Kind::U8).unwrap();
    for document in 0..40u32 {
        let tokens = (0..200u32).map(|at| 1 + ((at * at / 3 + document * at) % 7) as u8);
        let tokens: Vec<u8> = tokens.chain([0]).collect();
        writer.sequence(&tokens, folder).unwrap();
    }
    let written = writer.finish(1).unwrap();
    let description = json!({
        "schema": 2, "source": "none", "components": [{
            "name": "text", "files": ["*"], "documents": written.place.sequences, "tokens": written.place.tokens,
            "skipped_not_text": 0, "skipped_repeated": 0, "skipped_nul_bytes": 0,
            "fingerprint": written.fingerprint, "largest_id": 7,
        }],
    });
    fs::write(folder.join("data.json"), description.to_string()).unwrap();
}
