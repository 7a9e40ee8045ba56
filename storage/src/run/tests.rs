//! A run's folder through its life: made once, locked, resumed after a crash, and honest about damage.

use std::fs;

use pleach_plan::{Figure, Logging};
use proptest::prelude::*;

use super::*;

fn figures(step: u64, loss: f64) -> StepMetrics {
    StepMetrics {
        loss_scale: None,
        param_norm: None,
        utilization: None,
        skipped: 0,
        step,
        loss,
        grad_norm: 1.5,
        lr: 3e-4,
        tokens_per_s: 1e4,
        seconds: 0.125,
        samples: step * 8,
        memory_bytes: Some(1 << 30),
        validation_loss: None,
        test_loss: None,
    }
}

fn folder() -> (tempfile::TempDir, RunFolder) {
    let runs = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(runs.path(), "quickstart-0123abcd", "experiment", "{}").unwrap();
    (runs, folder)
}

fn writer(folder: &RunFolder, step: u64) -> MetricsWriter {
    MetricsWriter::resume(folder, &Logging::default(), step).unwrap()
}

#[test]
fn only_what_is_asked_for_is_written_every_so_many_steps_and_at_the_end() {
    let (_runs, folder) = folder();
    let logging = Logging {
        every: 4,
        figures: vec![Figure::Loss, Figure::Throughput],
        tensorboard: true,
        ..Logging::default()
    };
    let mut writer = MetricsWriter::resume(&folder, &logging, 0).unwrap();
    (1..=9).for_each(|step| writer.append(&figures(step, 1.0), 9).unwrap());
    let text = fs::read_to_string(folder.metrics()).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        r#"{"step":4,"loss":1.0,"tokens_per_s":10000.0,"seconds":0.125,"samples":32}"#
    );
    let read = StepMetrics::read(&folder.metrics()).unwrap();
    let steps: Vec<u64> = read.iter().map(|line| line.step).collect();
    assert_eq!(steps, [4, 8, 9]);
    assert!(read[0].lr.is_nan() && read[0].memory_bytes.is_none());
    assert_eq!(fs::read_dir(folder.events()).unwrap().count(), 1);

    let logging = Logging {
        lines: false,
        ..logging
    };
    let mut writer = MetricsWriter::resume(&folder, &logging, 9).unwrap();
    writer.append(&figures(12, 1.0), 20).unwrap();
    assert_eq!(StepMetrics::read(&folder.metrics()).unwrap().len(), 3);
    assert_eq!(fs::read_dir(folder.events()).unwrap().count(), 2);
}

#[test]
fn a_folder_is_made_once_and_complete() {
    let (runs, folder) = folder();
    assert_eq!(fs::read_to_string(folder.spec()).unwrap(), "experiment");
    assert!(
        [
            folder.checkpoints(),
            folder.logs(),
            folder.failures(),
            folder.traces()
        ]
        .iter()
        .all(|it| it.is_dir())
    );
    let error = RunFolder::create(runs.path(), "quickstart-0123abcd", "", "").unwrap_err();
    assert!(error.to_string().contains("--resume"), "{error}");
    assert_eq!(fs::read_dir(runs.path()).unwrap().count(), 1);
    assert_eq!(RunFolder::open(folder.path()).unwrap(), folder);
    let error = RunFolder::open(runs.path()).unwrap_err().to_string();
    assert!(error.contains("no plan.json"), "{error}");
}

#[test]
fn names_cannot_leave_the_folder_of_runs() {
    assert_eq!(
        RunFolder::name("gpt_neox-20b", "0123456789abcdef"),
        "gpt_neox-20b-01234567"
    );
    assert_eq!(
        RunFolder::name("../../etc; rm", "ab/cd"),
        "______etc__rm-abcd"
    );
}

#[test]
fn a_second_launch_is_refused_until_the_first_is_gone() {
    let (_runs, folder) = folder();
    let lock = folder.lock().unwrap();
    let error = folder.lock().unwrap_err().to_string();
    assert!(
        error.contains(&format!("process {};", std::process::id())),
        "{error}"
    );
    drop(lock);
    folder.lock().unwrap();
}

proptest! {
    #[test]
    fn every_number_comes_back_with_the_same_bits(bits: u64) {
        let (_runs, folder) = folder();
        let loss = f64::from_bits(bits);
        writer(&folder, 0).append(&figures(1, loss), 9).unwrap();
        let found = StepMetrics::read(&folder.metrics()).unwrap()[0].loss;
        prop_assert!(found.to_bits() == bits || found.is_nan() && loss.is_nan());
    }

    #[test]
    fn after_a_crash_lines_past_the_checkpoint_and_torn_ones_are_gone(
        written in 0u64..9, checkpoint in 0u64..9, torn in 0usize..40,
    ) {
        let (_runs, folder) = folder();
        let path = folder.metrics();
        let mut begun = writer(&folder, 0);
        (1..=written).for_each(|step| begun.append(&figures(step, 1.0), 9).unwrap());
        let mut text = fs::read(&path).unwrap();
        let next = serde_json::to_vec(&figures(written + 1, 1.0)).unwrap();
        text.extend(&next[..torn]);
        fs::write(&path, text).unwrap();
        prop_assert_eq!(StepMetrics::read(&path).unwrap().len() as u64, written);
        writer(&folder, checkpoint).append(&figures(checkpoint + 1, 2.0), 9).unwrap();
        let steps: Vec<u64> = StepMetrics::read(&path).unwrap().iter().map(|it| it.step).collect();
        let wanted: Vec<u64> = (1..=written.min(checkpoint)).chain([checkpoint + 1]).collect();
        prop_assert_eq!(steps, wanted);
    }
}

#[test]
fn what_is_not_finite_is_said_and_read_back() {
    let (_runs, folder) = folder();
    let mut writer = writer(&folder, 0);
    for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        writer.append(&figures(1, loss), 9).unwrap();
    }
    let text = fs::read_to_string(folder.metrics()).unwrap();
    assert!(
        text.contains(r#""loss":"NaN""#) && text.contains(r#""loss":"-inf""#),
        "{text}"
    );
    let read = StepMetrics::read(&folder.metrics()).unwrap();
    assert!(read[0].loss.is_nan() && read[1].loss == f64::INFINITY);
}

#[test]
fn a_line_that_is_no_metrics_is_named() {
    let (_runs, folder) = folder();
    writer(&folder, 0).append(&figures(1, 1.0), 9).unwrap();
    let mut text = fs::read_to_string(folder.metrics()).unwrap();
    text.push_str("{\"step\": 2, \"loss\": \"high\"}\n");
    fs::write(folder.metrics(), text).unwrap();
    for error in [
        StepMetrics::read(&folder.metrics())
            .unwrap_err()
            .to_string(),
        MetricsWriter::resume(&folder, &Logging::default(), 9)
            .unwrap_err()
            .to_string(),
    ] {
        assert!(
            error.contains("metrics.jsonl: line 2 is no step's figures"),
            "{error}"
        );
    }
}

#[test]
fn failures_and_records_come_back_and_are_cleared() {
    let (_runs, folder) = folder();
    assert_eq!(folder.read_record().unwrap(), None);
    let failure = RankFailure {
        rank: 3,
        message: "lost".into(),
        peer: Some(1),
        ..RankFailure::default()
    };
    folder.write_failure(&failure).unwrap();
    assert_eq!(folder.read_failures(4).unwrap(), [failure]);
    folder.clear_failures().unwrap();
    assert_eq!(folder.read_failures(4).unwrap(), []);
    let attempt = Attempt {
        worker: None,
        workers: vec![WorkerExit {
            rank: 3,
            code: None,
            signal: Some(9),
        }],
        exit: Some(10),
        ..Attempt::default()
    };
    let record = RunRecord {
        schema: 1,
        experiment: "quickstart".into(),
        experiment_hash: "e".into(),
        placement_hash: "p".into(),
        data_order: None,
        mode: "bitwise".into(),
        ranks: 4,
        source: None,
        consumed: Vec::new(),
        attempts: vec![attempt],
    };
    folder.write_record(&record).unwrap();
    assert_eq!(folder.read_record().unwrap(), Some(record.clone()));
    folder
        .write_record(&RunRecord {
            schema: 9,
            ..record
        })
        .unwrap();
    assert!(
        folder
            .read_record()
            .unwrap_err()
            .to_string()
            .contains("schema 9")
    );
}

#[test]
fn what_a_resume_cuts_off_is_counted_before_it_does() {
    let (_runs, folder) = folder();
    assert_eq!(Cut::after(&folder.metrics(), 0).unwrap(), Cut::default());
    let mut begun = writer(&folder, 0);
    (1..=5).for_each(|step| begun.append(&figures(step, 1.0), 9).unwrap());
    let mut text = fs::read(folder.metrics()).unwrap();
    text.extend(b"{\"step\": 6");
    fs::write(folder.metrics(), &text).unwrap();
    let cut = |step| Cut::after(&folder.metrics(), step).unwrap();
    let wanted = |lines, last| Cut {
        lines,
        last,
        torn: true,
    };
    assert_eq!([cut(3), cut(5)], [wanted(2, Some(5)), wanted(0, None)]);
    assert_eq!(
        fs::read(folder.metrics()).unwrap(),
        text,
        "nothing is cut yet"
    );
}

#[test]
fn an_earlier_plan_stays_with_its_spec_and_is_never_written_over() {
    let (_runs, folder) = folder();
    let held = folder.lock().unwrap();
    let [spec, plan] = [folder.spec(), folder.plan()].map(|path| fs::read(path).unwrap());
    folder
        .replace_plan(&held, "0123456789abcdef", ("new", "{}"))
        .unwrap();
    let kept = folder.earlier_plan("0123456789abcdef");
    assert!(kept.ends_with("plans/0123456789ab.json"));
    // A crash came after the spec was written: the same once more.
    folder
        .replace_plan(&held, "0123456789abcdef", ("new", "{}"))
        .unwrap();
    assert_eq!(fs::read(&kept).unwrap(), plan);
    assert_eq!(fs::read(kept.with_extension("pleach")).unwrap(), spec);
    assert_eq!(fs::read(folder.spec()).unwrap(), b"new");
    assert_eq!(fs::read(folder.plan()).unwrap(), b"{}");
}
