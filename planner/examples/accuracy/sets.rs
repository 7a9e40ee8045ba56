//! The sets of published rows that predictions are held against, each with its aim and what the best existing tool scores on it.

use super::rows::Row;

/// A set of rows.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    /// Its name on the screen.
    pub name: &'static str,
    /// Groups of rows that belong to it.
    pub groups: &'static [&'static str],
    /// Beginning of the systems that count; empty for all.
    pub systems: &'static [&'static str],
    /// What the best existing tool scores on it, as reported or as measured with that tool.
    pub existing: &'static str,
    /// Mean error of the step time to reach, in percent.
    pub goal: f64,
}

impl Set {
    /// Whether a row is of this set.
    pub fn has(&self, row: &Row) -> bool {
        let system = row.text("system");
        let known = |beginning: &&str| system.starts_with(*beginning);
        self.groups.contains(&row.group())
            && row.is_measured()
            && (self.systems.is_empty() || self.systems.iter().any(known))
    }
}

const fn set(
    name: &'static str,
    groups: &'static [&'static str],
    existing: &'static str,
    goal: f64,
) -> Set {
    Set {
        name,
        groups,
        systems: &[],
        existing,
        goal,
    }
}

/// All of them. Figures of other tools: Calculon caa4b11 and llm-analysis 0.2.2, run on these rows.
pub const SETS: [Set; 13] = [
    set(
        "Korthikanti 2022, table 5",
        &["korthikanti-2022"],
        "3.65 %, most 8.9 %",
        3.0,
    ),
    set(
        "Megatron 2021, 3D",
        &["narayanan-2021"],
        "5.8 to 7.4 %",
        4.0,
    ),
    set(
        "vTrain, many nodes",
        &["vtrain-multi"],
        "11.1 to 15.3 %",
        6.5,
    ),
    set("Aleph Alpha, LLaMA grid", &["aleph-alpha"], "16.8 %", 8.0),
    set("llm-foundry, FSDP", &["llm-foundry"], "", 7.0),
    set("BLOOM grid", &["bloom-grid"], "", 10.0),
    set("V100 grids", &["bigscience-v100", "oneflow-v100"], "", 10.0),
    set("nanotron", &["nanotron"], "", 10.0),
    set("torchtitan", &["torchtitan"], "", 10.0),
    Set {
        systems: &["Megatron-LM + zero-bubble (1F1B"],
        ..set("zero-bubble, 1F1B", &["zero-bubble"], "", 10.0)
    },
    set(
        "NeMo, Megatron-Core, H100",
        &["nemo-24.07", "megatron-bridge", "mbridge-skills"],
        "16.7 %",
        10.0,
    ),
    set("GPT-NeoX-20B", &["gpt-neox"], "", 10.0),
    set(
        "vTrain, one node (composed)",
        &["vtrain-single"],
        "32 %",
        12.0,
    ),
];
