//! Stand-in workers: shell scripts that say what real ones say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::pleach;

/// What a rank says that does three steps.
pub const THREE_STEPS: &str = r#"
echo '{"event":"ready","step":0}'
if [ $RANK = 0 ]; then
  for step in 1 2 3; do
    echo "{\"event\":\"step\",\"step\":$step,\"loss\":$((6 - step)).5,\"grad_norm\":1.5,\"lr\":0.001,\"tokens_per_s\":4096.0,\"seconds\":0.25,\"samples\":$((16 * step)),\"memory_bytes\":104857600}"
  done
fi
"#;

/// The spec that is run.
pub fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples/quickstart.pleach")
        .canonicalize()
        .expect("the test's own files and processes work")
}

/// The binary with a stand-in worker of these shell commands.
pub fn command(folder: &Path, worker: &str, arguments: &[&str]) -> Command {
    let path = folder.join("worker.sh");
    fs::write(&path, format!("#!/bin/sh\n{worker}\n"))
        .expect("the test's own files and processes work");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .expect("the test's own files and processes work");
    let mut command = pleach(folder);
    command
        .args(arguments)
        .env("PLEACH_WORKER", path)
        .env_remove("XDG_CACHE_HOME");
    command
}

/// The runs that were made in a folder.
pub fn runs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("runs")).into_iter().flatten();
    entries
        .map(|entry| {
            entry
                .expect("the test's own files and processes work")
                .path()
        })
        .collect()
}
