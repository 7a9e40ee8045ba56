//! What the system says of the machine: processor, cores, memory.

/// The processor's name.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    line.and_then(|line| line.split_once(':')).map_or_else(
        || std::env::consts::ARCH.to_owned(),
        |(_, name)| name.trim().to_owned(),
    )
}

/// The model of the first GPU, as its driver calls it.
pub fn gpu() -> Option<String> {
    let listed = std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?;
    let mut places: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    places.sort();
    let text = std::fs::read_to_string(places.first()?.join("information")).ok()?;
    model(&text)
}

fn model(information: &str) -> Option<String> {
    let mut lines = information.lines();
    let line = lines.find_map(|line| line.strip_prefix("Model:"))?;
    Some(line.trim().to_owned())
}

/// Cores that this process may use.
pub fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

/// Bytes of memory that this process may use: the machine's, or less by its control group.
pub fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line
        .and_then(|line| line.split_whitespace().next())
        .and_then(|word| word.parse::<u64>().ok());
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").unwrap_or_default();
    let limit = group.trim().parse::<u64>().unwrap_or(u64::MAX);
    kibibytes
        .map_or(1 << 30, |kibibytes| kibibytes << 10)
        .min(limit)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_driver_names_its_device() {
        let text = "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 31\n";
        assert_eq!(super::model(text).as_deref(), Some("NVIDIA H100 80GB HBM3"));
        assert_eq!(super::model("IRQ: 31\n"), None);
    }

    #[test]
    fn a_machine_has_something_of_each() {
        assert!(!super::processor().is_empty());
        assert!(super::cores() >= 1 && super::memory() > 1 << 28);
    }
}
