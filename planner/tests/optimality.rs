//! The search against brute force on random small spaces, its bounds against the simulation, and what must never make a plan worse.
//!
//! The suite tries some; `cargo xtask verify` says how many more.

// How many are tried is the caller's to say.
#![allow(clippy::disallowed_methods)]

#[path = "mutants/random.rs"]
mod random;

use std::collections::BTreeMap;

use pleach_dsl::experiment::Experiment;
use pleach_plan::hardware::Hardware;
use pleach_planner::hardware;
use pleach_planner::program::Layouts;
use pleach_planner::search::bound::{Key, price};
use pleach_planner::search::evaluate::evaluate_cut;
use pleach_planner::search::outline::Outlines;
use pleach_planner::search::{Answer, Evaluated, Options, exhaustive, plan, space};
use random::Random;

/// How many spaces the suite tries.
const SPACES: usize = 12;

fn wanted() -> usize {
    let said = std::env::var("PLEACH_SPACES").ok();
    said.map_or(SPACES, |said| said.parse().expect("a count"))
}

fn model(random: &mut Random) -> String {
    let heads = random.pick(&[4, 6, 8]);
    let common = format!(
        "hidden = {}, heads = {heads}, kv_heads = {}, context = {} tokens, vocab = {}, tied = {}, positions = {}",
        heads * random.pick(&[32, 64]),
        random.pick(&[2, heads]),
        random.pick(&[128, 512]),
        96 * random.pick(&[3, 40]),
        random.coin(),
        random.pick(&["rotary", "learned", "alibi"]),
    );
    let experts = "moe { experts = 4, active = 2, expert = gelu { width = 96, bias = false } }";
    let layers = random.pick(&[2, 3, 4, 5, 6]);
    if random.below(4) > 0 {
        let mlp = random.pick(&["gelu", "swiglu", experts]);
        return format!("{common}, layers = {layers}, mlp = {mlp}");
    }
    let kinds: Vec<&str> = (0..layers)
        .map(|_| random.pick(&["layer(attention, dense)", "layer(attention, sparse)"]))
        .collect();
    format!(
        "{common}\nlet dense = gelu {{ width = 512 }}\nlet sparse = {experts}\nstack = [{}]",
        kinds.join(", ")
    )
}

/// A random small experiment as text, most of its placement open.
fn spec(random: &mut Random) -> String {
    let model = model(random);
    let device = random.pick(&["a100_40g", "a100_80g", "h100_80g", "h100_80g"]);
    let network = random.pick(&[
        "",
        "inter_node = 50 GB/s",
        "inter_node = 2000 GB/s, intra_node = 100 GB/s",
    ]);
    let gpus = random.pick(&[1, 2, 3, 4, 4, 8]);
    let nodes = random.pick(&["= 1", "= 2", "= 3", "in 1..3"]);
    let memory = random.pick(&["", "memory = 3 GiB", "memory = 3_500 MiB", "memory = 5 GiB"]);
    let batch = random.pick(&[4, 6, 8, 12, 24]);
    let engine = random.pick(&[
        "pleach",
        "pleach",
        "neox",
        "megatron",
        "megatron_core",
        "fsdp",
        "nanotron",
    ]);
    let wish = random.pick(&[
        "",
        "",
        "minimize step_time",
        "minimize time within 5% then memory.peak",
        "minimize memory.peak within 3% then step_time",
        "require memory.peak <= 3.4 GiB because \"something else runs there\"",
        "require step_time <= 20 ms",
        "maximize micro_batch then minimize step_time",
    ]);
    let open = random.pick(&[
        "recompute in [none, full]",
        "recompute = selective",
        "zero in [0, 3]",
        "zero in [1, 2, 3]\nshards = 2",
        "tp in [1, 2]",
        "",
    ]);
    let sums = random.pick(&["", "", "sums = reproducible { lanes = 2 },"]);
    format!(
        "import \"presets/clusters.pleach\"\n\
         dataset nothing {{ source = \"cargo:dependencies\", tokenizer = \"hf:none\" }}\n\
         experiment one {{\nmodel = transformer {{ {model} }}\ndata = nothing\n\
         cluster = {device} {{ nodes {nodes}, gpus_per_node = {gpus}\n{network}\n{memory}\n}}\n\
         train {{ {sums} steps = 100 steps, global_batch = {batch} sequences, precision = {}, lr = constant {{ peak = 1e-3 }} }}\n\
         plan {{ engine = {engine}\nmicro_batch in [1, 2, 3]\n{open}\n{wish}\n}}\n}}\n",
        random.pick(&["bf16", "bf16", "fp32"]),
    )
}

fn experiment(text: &str) -> Experiment {
    let files = BTreeMap::from([("one.pleach".to_owned(), text.to_owned())]);
    let loaded = pleach_dsl::load("one.pleach", &files, &[], None);
    let problems = loaded.problems.render(false);
    loaded
        .experiment
        .unwrap_or_else(|| panic!("{problems}\n{text}"))
}

fn device(experiment: &Experiment) -> Hardware {
    hardware::find(&experiment.cluster.device, None).expect("a known device")
}

/// Some spaces with placements in them.
fn spaces(seed: u64, count: usize, mut each: impl FnMut(&str, &Experiment, &Hardware)) {
    let (mut random, mut tried) = (Random::new(seed), 0);
    while tried < count {
        let text = spec(&mut random);
        let experiment = experiment(&text);
        let hardware = device(&experiment);
        if plan(&experiment, &hardware, Options { alternatives: 0 }).is_ok() {
            each(&text, &experiment, &hardware);
            tried += 1;
        }
    }
}

/// What two searches must agree in.
fn found(answer: &Answer) -> Vec<(u64, String, u64, u64)> {
    let all = std::iter::once(&answer.chosen).chain(&answer.alternatives);
    let figures = |one: &Evaluated| {
        let placement = format!("{:?}", one.placement);
        (one.nodes, placement, one.simulation.step, one.peak())
    };
    all.map(figures).collect()
}

#[test]
fn the_search_gives_what_brute_force_gives() {
    let (mut pruned, mut all, mut fitting) = (0, 0, 0);
    spaces(7, wanted(), |text, experiment, hardware| {
        let ways = [plan, exhaustive];
        let options = Options { alternatives: 0 };
        let [quick, brute] =
            ways.map(|way| way(experiment, hardware, options).expect("there is a placement"));
        assert_eq!(quick.chosen.fits(), brute.chosen.fits(), "{text}");
        if brute.feasible > 0 {
            assert_eq!(found(&quick), found(&brute), "{text}");
            fitting += 1;
        }
        assert_eq!(quick.candidates, brute.candidates, "{text}");
        // Memory of models so small is mostly the device's own, and what is maximized has no bound.
        if !["maximize", "memory.peak within"]
            .iter()
            .any(|goal| text.contains(goal))
        {
            pruned += quick.simulated;
            all += brute.simulated;
        }
    });
    println!("{pruned} of {all} placements simulated; {fitting} spaces have one that fits");
    assert!(
        pruned * 2 < all && fitting > 0,
        "{pruned} of {all}, {fitting}"
    );
}

#[test]
fn no_bound_is_above_the_simulation() {
    let (mut random, mut checked) = (Random::new(99), 0);
    let mut tightness = 0.0;
    spaces(8, wanted(), |text, experiment, hardware| {
        let (mut prices, mut layouts) = (BTreeMap::new(), Layouts::default());
        let mut outlines = Outlines::default();
        for nodes in experiment.sizes() {
            let sized = experiment.on_nodes(nodes);
            let candidates = space::enumerate(&sized).candidates;
            for _ in 0..candidates.len().min(12) {
                let placement = random.pick(&candidates);
                let key = Key::of(&placement);
                let priced = || price(&sized, hardware, key, &mut layouts).expect("it divides");
                let price = prices.entry(key).or_insert_with(priced);
                let bound = price.bound(&sized, hardware, &placement, &mut outlines);
                let one = evaluate_cut(&sized, hardware, &placement, &price.cut);
                let one = one.unwrap_or_else(|why| panic!("{placement:?}: {why}\n{text}"));
                let figures = [one.simulation.step, one.peak()];
                let told = format!("{placement:?} on {nodes}: {bound:?} and {figures:?}\n{text}");
                assert!(
                    bound.step <= figures[0] && bound.peak <= figures[1],
                    "{told}"
                );
                tightness += bound.step as f64 / figures[0] as f64;
                checked += 1;
            }
        }
    });
    let mean = tightness / f64::from(checked);
    println!("{checked} placements; a bound of the step is {mean:.3} of it in the mean");
    assert!(mean > 0.5, "{mean}");
}

/// The first goal's value is what must not grow; here the step.
#[test]
fn more_memory_or_faster_links_never_make_the_best_slower() {
    spaces(9, wanted() / 2, |text, experiment, hardware| {
        let mut experiment = experiment.clone();
        experiment.plan.objectives.clear();
        experiment.plan.requirements.clear();
        let best = |experiment: &Experiment, hardware: &Hardware| {
            let answer = plan(experiment, hardware, Options { alternatives: 0 });
            let chosen = answer.expect("there is a placement").chosen;
            (!chosen.fits(), chosen.simulation.step)
        };
        let before = best(&experiment, hardware);
        let mut roomy = experiment.clone();
        let own = hardware.memory.capacity.value as u64;
        roomy.cluster.memory = Some(experiment.cluster.memory.unwrap_or(own) * 5 / 4);
        let after = best(&roomy, hardware);
        let worse = |after: (bool, u64)| !before.0 && (after.0 || after.1 > before.1);
        assert!(
            !worse(after),
            "more memory: {before:?} to {after:?}\n{text}"
        );
        let mut faster = hardware.clone();
        let links = faster.links.as_mut().expect("a GPU has links");
        for figure in [&mut links.intra_node, &mut links.inter_node] {
            figure.value *= 1.5;
        }
        for latency in [&mut links.intra_latency, &mut links.inter_latency] {
            latency.value /= 1.5;
        }
        let mut wired = experiment.clone();
        for rate in [&mut wired.cluster.intra_node, &mut wired.cluster.inter_node] {
            *rate = rate.map(|rate| rate * 1.5);
        }
        for point in faster
            .collective
            .iter_mut()
            .flat_map(|curve| &mut curve.points)
        {
            point.seconds /= 1.5;
        }
        let after = best(&wired, &faster);
        assert!(
            !worse(after),
            "faster links: {before:?} to {after:?}\n{text}"
        );
    });
}
