//! Clusters of the presets by name, for questions that no spec asks: a name and a size in, the machines out.

use std::collections::BTreeMap;

use pleach_dsl::experiment::Cluster;

/// Devices that have a measured table, the larger ones last.
pub const DEVICES: [&str; 4] = ["v100_32g", "a100_40g", "a100_80g", "h100_80g"];

/// A spec of one layer on a cluster; the language fills in what its preset says.
fn spec(name: &str, nodes: u64, gpus_per_node: u64) -> String {
    format!(
        "import \"presets/clusters.pleach\"\nimport \"presets/cards.pleach\"\nimport \"presets/pile.pleach\"\n\
         experiment machines {{\n\
         model = transformer {{ layers = 1, hidden = 64, heads = 1, context = 64 tokens, vocab = 256 }}\n\
         data = the_pile {{ tokenizer = \"bytes\" }}\n\
         train {{ steps = 1 step, global_batch = {batch} sequences, lr = constant {{ peak = 1e-4 }}, precision = fp16 }}\n\
         cluster = {name} {{ nodes = {nodes}, gpus_per_node = {gpus_per_node} }}\n}}\n",
        batch = nodes.saturating_mul(gpus_per_node),
    )
}

/// The machines of a preset; the problems' titles where there are none.
pub fn cluster(name: &str, nodes: u64, gpus_per_node: u64) -> Result<Cluster, String> {
    let text = spec(name, nodes, gpus_per_node);
    let files = BTreeMap::from([("machines.pleach".to_owned(), text)]);
    let loaded = pleach_dsl::load("machines.pleach", &files, &[], None);
    match loaded.into_result() {
        Ok((experiment, _)) => Ok(experiment.cluster),
        Err(problems) => {
            let titles: Vec<String> = problems
                .iter()
                .map(|problem| problem.title.clone())
                .collect();
            Err(titles.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_with_a_table_is_a_preset() {
        for name in DEVICES {
            let cluster = cluster(name, 2, 8).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!((cluster.device.as_str(), cluster.gpus()), (name, 16));
            assert!(cluster.memory.is_some() && cluster.peak_flops.is_some());
        }
        assert!(cluster("a100_40gb", 1, 8).is_err());
    }
}
