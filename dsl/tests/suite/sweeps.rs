//! Sweeps as a program meets them: what a file offers, where a case's values come from, and that many runs stay cheap.

use std::collections::BTreeMap;

use crate::common::{Repository, small};
use pleach_dsl::origin::Layer;
use pleach_dsl::{Spec, load};

fn pythia() -> Spec {
    Spec::read("examples/pythia.pleach", &Repository, &[])
}

#[test]
fn the_pythia_suite_is_sixteen_runs() {
    let mut spec = pythia();
    assert!(spec.experiments().is_empty(), "`pythia` is only a base");
    let checked = spec.check(None);
    assert!(
        checked.problems.is_empty(),
        "{}",
        checked.problems.render(false)
    );
    assert_eq!(checked.sweeps, [("pythia_suite".to_string(), 16)]);
    let sweep = &spec.sweeps()[0];
    let name = |run| sweep.run_name(&sweep.picks(run));
    assert_eq!(name(0), "pythia_suite/m70-the_pile");
    assert_eq!(name(1), "pythia_suite/m70-the_pile_deduped");
    assert_eq!(name(15), "pythia_suite/b12-the_pile_deduped");
    for run in 0..16 {
        assert_eq!(sweep.find(&name(run)), Some(sweep.picks(run)));
    }
}

#[test]
fn values_of_a_case_say_so() {
    let settings = [("cluster".to_string(), "a100_40g".to_string())];
    let mut spec = Spec::read("examples/pythia.pleach", &Repository, &settings);
    let loaded = spec.load(Some("pythia_suite/b6_9-the_pile"));
    let experiment = loaded.experiment.expect("it has machines");
    assert_eq!(experiment.model.hidden, 4096);
    assert_eq!(experiment.cluster.gpus(), 128);
    assert_eq!(experiment.plan.tp.fixed(), Some(&2));
    let origin = &experiment.origins["model.hidden"];
    assert_eq!(
        (origin.layer, origin.text.as_str()),
        (Layer::SweepCase, "4096")
    );
    assert_eq!(origin.file, "examples/pythia.pleach");
    assert_eq!(experiment.origins["cluster.gpus"].layer, Layer::SweepCase);
    assert_eq!(experiment.origins["cluster.device"].layer, Layer::Preset);
    assert_eq!(experiment.origins["model.context"].layer, Layer::Base);
    assert_eq!(
        loaded.cells["cluster.gpus"].origin.to_string(),
        format!("sweep case, examples/pythia.pleach:{}", origin.line)
    );
}

#[test]
fn an_identity_needs_no_machines() {
    let run = "pythia_suite/m70-the_pile";
    let bare = pythia().load(Some(run));
    assert!(bare.experiment.is_none() && bare.lacking == ["cluster"]);
    let settings = [("cluster".to_string(), "a100_40g".to_string())];
    let placed = Spec::read("examples/pythia.pleach", &Repository, &settings).load(Some(run));
    assert_eq!(bare.hash, placed.hash);
    assert_eq!(placed.experiment.unwrap().hash, bare.hash.unwrap());
}

#[test]
fn runs_differ_in_what_the_cases_say() {
    let mut spec = pythia();
    let hashes: Vec<_> = (0..16).map(|run| spec.load_run(0, run).hash).collect();
    let distinct: std::collections::BTreeSet<_> = hashes.iter().flatten().collect();
    assert_eq!(distinct.len(), 16);
}

/// A thousand runs in the time of a few: parsing and defaults are shared. Unoptimised and with room for a slow machine.
#[test]
fn a_thousand_runs_are_checked_at_once() {
    let text = small("", "").replace("experiment small", "experiment start")
        + "sweep many extends start { seed in 1..250, train.lr.peak in [1e-4, 2e-4, 3e-4, 4e-4] }";
    let files = BTreeMap::from([("main.pleach".to_string(), text)]);
    let begun = std::time::Instant::now();
    let checked = Spec::read("main.pleach", &files, &[]).check(None);
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(checked.sweeps, [("many".to_string(), 1000)]);
    assert!(checked.problems.is_empty());
    assert!(seconds < 10.0, "{seconds} s");
    println!("{seconds} s");
}

#[test]
fn a_run_of_a_broken_sweep_is_not_unknown_besides() {
    let text = format!(
        "{}sweep suite extends small {{ seed in [1, 1] }}\n",
        small("", "")
    );
    for name in ["suite", "suite/seed_1"] {
        let files = BTreeMap::from([("main.pleach".to_string(), text.clone())]);
        let problems = load("main.pleach", &files, &[], Some(name)).problems;
        assert_eq!(problems.errors(), 1, "{}", problems.render(false));
    }
}
