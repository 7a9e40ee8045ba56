//! One placement, evaluated: its plan emitted, its memory walked, its step simulated.

use pleach_dsl::experiment::Experiment;
use pleach_plan::Plan;
use pleach_plan::hardware::{Hardware, Kind};

use super::figures::Scoped;
use crate::cost::Costs;
use crate::memory::{self, StageMemory};
use crate::placement::Placement;
use crate::program::{self, Cut};
use crate::simulate::{self, Detail, Simulation};

/// A placement with its plan and figures.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// Nodes of the cluster it is for.
    pub nodes: u64,
    /// The placement.
    pub placement: Placement,
    /// Its program.
    pub plan: Plan,
    /// Its memory, for each stage.
    pub memory: Vec<StageMemory>,
    /// Bytes of one rank that may be used.
    pub capacity: u64,
    /// Its step.
    pub simulation: Simulation,
}

/// Bytes that one rank may use: what the spec says of its device, or the device's table; on a CPU the ranks of a node share it.
pub fn capacity(experiment: &Experiment, hardware: &Hardware) -> u64 {
    let table = libm::floor(hardware.memory.capacity.value) as u64;
    let own = match hardware.kind {
        Kind::Gpu => table,
        Kind::Cpu => table / experiment.cluster.gpus_per_node.max(1),
    };
    experiment.cluster.memory.unwrap_or(own)
}

/// Evaluates one placement as it stands, also where it does not fit.
///
/// # Errors
/// It has no plan, or its plan stands still.
pub fn evaluate(
    experiment: &Experiment,
    hardware: &Hardware,
    placement: &Placement,
) -> Result<Evaluated, String> {
    let cut = program::cut(experiment, placement).map_err(|error| error.to_string())?;
    let mut evaluated = evaluate_cut(experiment, hardware, placement, &cut)?;
    program::seal(&mut evaluated.plan);
    Ok(evaluated)
}

/// The same with the layouts that placements of one shape share; its plan is not sealed with its hash.
///
/// # Errors
/// It has no plan, or its plan stands still.
pub fn evaluate_cut(
    experiment: &Experiment,
    hardware: &Hardware,
    placement: &Placement,
    cut: &Cut,
) -> Result<Evaluated, String> {
    let plan = program::emit_cut(experiment, placement, cut).map_err(|error| error.to_string())?;
    let costs = Costs::new(&plan, hardware, &experiment.cluster);
    let memory = memory::stages(&costs);
    let simulation = simulate::run(&costs, Detail::Calls).map_err(|stuck| stuck.to_string())?;
    let capacity = capacity(experiment, hardware);
    Ok(Evaluated {
        nodes: experiment.cluster.nodes,
        placement: placement.clone(),
        plan,
        memory,
        capacity,
        simulation,
    })
}

impl Evaluated {
    /// Lets go of what is large in its plan; the figures stay.
    pub fn shed(&mut self) {
        self.plan.roles = Vec::new();
        self.plan.bodies = Vec::new();
        self.plan.tensors = Vec::new();
        self.plan.parameters = Vec::new();
    }

    /// Bytes of the fullest rank.
    pub fn peak(&self) -> u64 {
        self.memory
            .iter()
            .map(|stage| stage.peak)
            .max()
            .unwrap_or(0)
    }

    /// The fullest stage.
    pub fn fullest(&self) -> usize {
        let peak = self.peak();
        self.memory
            .iter()
            .position(|stage| stage.peak == peak)
            .unwrap_or(0)
    }

    /// Whether every rank has room.
    pub fn fits(&self) -> bool {
        self.peak() <= self.capacity
    }

    /// The figures under a spec's names.
    pub fn scope<'e>(&self, experiment: &'e Experiment) -> Scoped<'e> {
        let mut scope = Scoped::of(experiment, &self.placement);
        scope.nodes = self.nodes;
        scope.peak = Some(self.peak());
        scope.capacity = Some(self.capacity);
        scope.step = Some(self.simulation.step);
        scope
    }
}
