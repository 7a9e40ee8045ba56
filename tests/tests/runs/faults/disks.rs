//! A disk that is full: the checkpoint that had no room is gone without a trace, those before it are whole, and with room the run goes on.

use std::path::Path;
use std::process::Command;

use pleach_tests::have;
use pleach_tests::job::{answer, succeed};

use super::{EVERY, TWO, assert_same, flat, resume, run, saved, undisturbed};

/// A small disk in memory where runs are written, until it is dropped.
struct Disk<'d>(&'d Path);

impl<'d> Disk<'d> {
    /// Mounts it; none where this process may not.
    fn mount(place: &'d Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(place).expect("a folder");
        let options = format!("size={size}");
        let mounted = mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], place);
        mounted.then_some(Disk(place))
    }

    /// Makes it larger.
    fn grow(&self, size: &str) {
        assert!(mount(&["-o", &format!("remount,size={size}")], self.0));
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn mount(arguments: &[&str], place: &Path) -> bool {
    let mut command = Command::new("mount");
    let output = command.args(arguments).arg(place).output();
    output.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_ends_the_run_with_its_checkpoints_whole_and_room_lets_it_go_on() {
    if have::worker().is_none() {
        return;
    }
    let (home, whole) = undisturbed(&TWO);
    for background in ["false", "true"] {
        let away = home.beside();
        let runs = away.path().join("runs");
        let Some(disk) = Disk::mount(&runs, "1500k") else {
            return have::skip("a small disk in memory cannot be mounted here (root may)");
        };
        let background = format!("checkpoints.background={background}");
        let fallen = answer(&mut run(&away, &[TWO[0], &background]));
        let told = flat(&fallen.stderr);
        assert_eq!(fallen.code, Some(10), "{told}");
        for part in [
            "No space left on device",
            "make room",
            "step-0000",
            "pleach resume",
        ] {
            assert!(told.contains(part), "{background}: {part}: {told}");
        }
        let folder = away.only_run();
        let good = saved(&folder);
        assert!(
            !good.is_empty() && good.iter().all(|step| step % EVERY == 0),
            "{good:?}"
        );
        disk.grow("64m");
        let gone_on = succeed(&mut resume(&away));
        assert!(!gone_on.stderr.contains("damaged"), "{}", gone_on.stderr);
        let newest = good.last().expect("there is one");
        let from = format!("after step {newest} of");
        assert!(gone_on.stderr.contains(&from), "{from}: {}", gone_on.stderr);
        assert_same(&whole, &folder);
    }
}
