//! What the tests of the binary share: starting it in a folder of its own with a clean environment.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The binary under test, away from the user's cache and colours.
pub fn pleach(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pleach"));
    command
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("PLEACH_WORKER")
        .env_remove("NO_COLOR")
        .env_remove("FORCE_COLOR");
    command
}

/// Runs it to its end.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    pleach(folder)
        .args(arguments)
        .output()
        .expect("the binary starts")
}

/// Its stderr as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Its stdout as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits for something that happens soon.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
