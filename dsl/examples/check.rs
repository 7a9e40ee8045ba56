fn main() {
    struct Disk;
    impl pleach_dsl::Loader for Disk {
        fn load(&self, path: &str) -> Result<String, pleach_dsl::Failure> {
            std::fs::read_to_string(path).map_err(|_| pleach_dsl::Failure::Missing)
        }
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let sets: Vec<(String, String)> = args[1..]
        .iter()
        .filter_map(|a| a.split_once('='))
        .map(|(a, b)| (a.into(), b.into()))
        .collect();
    let t = std::time::Instant::now();
    let loaded = pleach_dsl::load(&args[0], &Disk, &sets, None);
    eprintln!("{:?}", t.elapsed());
    print!("{}", loaded.problems.render(false));
    if let Some(e) = &loaded.experiment {
        println!(
            "{:#?}",
            (
                &e.model,
                &e.data.mix.len(),
                &e.train,
                &e.cluster,
                &e.plan.tp,
                e.plan.objectives.len(),
                e.plan.requirements.len(),
                &e.hash
            )
        );
    }
    for p in args[1..].iter().filter(|a| !a.contains('=')) {
        println!(
            "{}",
            pleach_dsl::explain::explain(&loaded.cells, p).unwrap_or_default()
        );
    }
}
