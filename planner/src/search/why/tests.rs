//! Answers to "why?": every value is tried, and the sentence names what decides.

use pleach_dsl::wish::{Choice, Objective};

use super::*;
use crate::hardware;
use crate::search::tests::experiment;

fn open() -> (Experiment, Hardware) {
    let mut experiment = experiment("a100_40g", [1, 4], [4, 512, 8, 8]);
    experiment.plan.micro_batch = Choice::OneOf(vec![1, 2]);
    experiment.plan.recompute = Choice::Fixed("none".into());
    let hardware = hardware::find("a100_40g", None).unwrap();
    (experiment, hardware)
}

fn answer(experiment: &Experiment, hardware: &Hardware) -> Answer {
    plan(experiment, hardware, Options::default()).unwrap()
}

#[test]
fn questions_name_a_field_and_a_value() {
    assert_eq!(Pin::parse("plan.tp = 8"), Ok(Pin::Tp(8)));
    assert_eq!(Pin::parse("cluster.nodes==2"), Ok(Pin::Nodes(2)));
    assert_eq!(
        Pin::parse("micro_batch = 4 sequences"),
        Ok(Pin::MicroBatch(4))
    );
    for wrong in ["speed = high", "tp", "tp = many", "sequence_parallel = 2"] {
        let told = Pin::parse(wrong).unwrap_err().to_string();
        assert!(
            told.contains("tp = 8") && told.contains("recompute"),
            "{told}"
        );
    }
    let both = Pin::parse_all("tp = 2, plan.pp = 4");
    assert_eq!(both, Ok(vec![Pin::Tp(2), Pin::Pp(4)]));
    let twice = Pin::parse_all("tp = 2, tp = 4").unwrap_err().to_string();
    assert!(twice.contains("`tp` is asked about twice"), "{twice}");
    let told = Field::parse("speed").unwrap_err().to_string();
    assert!(told.contains("no field of a placement"), "{told}");
    for field in Field::ALL {
        assert_eq!(Field::parse(&field.path()), Ok(field));
    }
}

#[test]
fn every_value_is_tried_also_those_that_the_spec_closes() {
    let (mut experiment, hardware) = open();
    experiment.plan.tp = Choice::Fixed(2);
    let answer = answer(&experiment, &hardware);
    let why = why(&experiment, &hardware, &answer, Field::Tp);
    let of = |what: fn(&Tried) -> bool| -> Vec<&str> {
        let those = why.tried.iter().filter(|tried| what(tried));
        those.map(|tried| tried.value.as_str()).collect()
    };
    assert_eq!(of(|_| true), ["1", "2", "4"]);
    assert_eq!(of(|tried| tried.is_allowed), ["2"]);
    assert_eq!(of(|tried| tried.is_chosen), ["2"]);
    let one = &why.tried[0];
    let step = one.best.as_ref().unwrap().simulation.step;
    assert!(step < answer.chosen.simulation.step);
    assert!(one.verdict.starts_with("faster: "), "{}", one.verdict);
    assert!(
        one.verdict.ends_with("does not leave it open"),
        "{}",
        one.verdict
    );
    assert!(
        why.tried[2].verdict.starts_with("slower: "),
        "{}",
        why.tried[2].verdict
    );
}

#[test]
fn values_that_cannot_be_have_their_reason() {
    let (mut experiment, hardware) = open();
    experiment.cluster.gpus_per_node = 6;
    experiment.train.global_batch = 12;
    let answer = answer(&experiment, &hardware);
    let why = why(&experiment, &hardware, &answer, Field::Tp);
    let told: Vec<&str> = why
        .impossible
        .iter()
        .map(|region| region.what.as_str())
        .collect();
    assert_eq!(told, ["tp 3", "tp 6"]);
    assert!(why.impossible[0].why.contains("8 attention heads"));
}

#[test]
fn the_goal_that_decides_is_named() {
    let (mut experiment, hardware) = open();
    let fastest = answer(&experiment, &hardware);
    let goal = Objective::minimize("memory.peak");
    experiment.plan.objectives = vec![goal];
    let leanest = answer(&experiment, &hardware);
    assert!(leanest.chosen.peak() < fastest.chosen.peak());
    let pin = Field::Tp.chosen(&experiment, &fastest.chosen).unwrap();
    let tried = why_not(&experiment, &hardware, &leanest, &[pin]);
    assert!(tried.verdict.starts_with("larger: "), "{}", tried.verdict);
}
