//! Reductions that begin before their place in the program, where the groups of this rank can work beside the computation.
//!
//! In come the ends of bodies, out go calls to groups; whoever comes to such an instruction in its place finds it under way.

use std::collections::HashMap;

use pleach_plan::early::{At, Early, early};
use pleach_plan::{Op, Plan, Role};
use tch::Tensor;

use crate::collectives::{Collectives, Transfer};
use crate::error::Cause;

/// Set to `0`, every collective waits in its place.
pub const VARIABLE: &str = "PLEACH_OVERLAP";

/// What may begin early in a role, and what has.
pub struct Ahead<'p> {
    behind: HashMap<At, Vec<Early<'p>>>,
    begun: HashMap<(At, usize), Running>,
}

/// An instruction that has begun.
struct Running {
    transfer: Box<dyn Transfer>,
    /// Where its result will be, unless it changes its operand.
    result: Option<Tensor>,
}

impl<'p> Ahead<'p> {
    /// What a plan allows, unless the environment forbids it.
    pub fn new(plan: &'p Plan, role: &'p Role) -> Self {
        let mut behind: HashMap<At, Vec<Early<'p>>> = HashMap::new();
        let is_off = std::env::var(VARIABLE).is_ok_and(|value| value == "0");
        for own in early(plan, role).into_iter().filter(|_| !is_off) {
            behind.entry(own.behind).or_default().push(own);
        }
        Self {
            behind,
            begun: HashMap::new(),
        }
    }

    /// What may begin at the end of a visit.
    pub fn behind(&self, at: At) -> Vec<Early<'p>> {
        self.behind.get(&at).cloned().unwrap_or_default()
    }

    /// Begins one with its operand; where the group cannot, it stays for its place.
    ///
    /// # Errors
    /// No memory, or a group that is not there.
    pub fn begin(
        &mut self,
        early: &Early<'p>,
        operand: &Tensor,
        collectives: &mut dyn Collectives,
    ) -> Result<(), Cause> {
        let begun = match early.instr.op {
            Op::AllReduce { group, reduce } => {
                let begun = collectives.group(group)?.begin_all_reduce(operand, reduce);
                begun.map(|transfer| Running {
                    transfer,
                    result: None,
                })
            }
            Op::ReduceScatter { group, .. } => {
                let group = collectives.group(group)?;
                let pieces = operand.f_view([i64::from(group.size()), -1])?;
                let begun = group.begin_reduce_scatter(&pieces)?;
                begun.map(|begun| Running {
                    transfer: begun.transfer,
                    result: Some(begun.result),
                })
            }
            _ => None,
        };
        if let Some(begun) = begun {
            self.begun.insert((early.at, early.index), begun);
        }
        Ok(())
    }

    /// Waits for an instruction that has begun and gives its results; none for one that has not.
    ///
    /// # Errors
    /// A member is gone or late, or no memory.
    pub fn ended(&mut self, at: At, index: usize) -> Result<Option<Vec<Tensor>>, Cause> {
        let Some(mut running) = self.begun.remove(&(at, index)) else {
            return Ok(None);
        };
        running.transfer.wait()?;
        let copied = running.result.map(|slice| -> Result<Tensor, Cause> {
            let mut own = slice.f_empty_like()?;
            own.f_copy_(&slice)?;
            Ok(own)
        });
        Ok(Some(copied.transpose()?.into_iter().collect()))
    }
}
