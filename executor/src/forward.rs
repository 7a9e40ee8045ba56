//! Only forward: the logits of given token ids, from a checkpoint of any placement. This is what other programs' logits are
//! compared with.

use std::path::{Path, PathBuf};

use pleach_plan::{Guard, Op, Plan};
use pleach_storage::checkpoint::{self, Checkpoint};
use tch::Tensor;

use crate::collectives::solo::Solo;
use crate::data::Given;
use crate::device;
use crate::environment::Environment;
use crate::error::{Cause, Exit, Failure};
use crate::interpreter::{Interpreter, World};
use crate::load;
use crate::saving::Saver;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// A plan of one rank.
    pub plan: PathBuf,
    /// The run whose newest good checkpoint is taken.
    pub run: PathBuf,
    /// JSON: a list of lists of token ids, none longer than the plan's sequence.
    pub tokens: PathBuf,
    /// Where the logits go: safetensors, one tensor `logits.N` of `[positions, vocabulary]` for each list.
    pub out: PathBuf,
}

/// Computes the logits and writes them.
///
/// # Errors
/// A plan of several ranks, no checkpoint, or ids that do not fit.
pub fn forward(request: &Request) -> Result<(), Failure> {
    let alone = Environment::read(|_| None)?;
    let plan = load::plan(&request.plan, &alone)?;
    let texts = read_tokens(&request.tokens, &plan)?;
    let wrap = |cause: Cause| Failure::outside(&cause, "computing logits");
    let mut interpreter = Interpreter::new(&plan, 0, device::asked()?).map_err(wrap)?;
    fill(&plan, &checkpoint(&request.run, None)?, &interpreter)?;
    let mut named = Vec::new();
    for texts in texts.chunks(plan.training.micro_batch as usize) {
        let logits = batch(&plan, &mut interpreter, texts)?;
        for (row, text) in texts.iter().enumerate() {
            let part = logits
                .f_get(row as i64)
                .and_then(|rows| rows.f_narrow(0, 0, text.len() as i64));
            let part = part
                .and_then(|part| part.f_contiguous())
                .map_err(|error| wrap(error.into()))?;
            named.push((format!("logits.{}", named.len()), part));
        }
    }
    Tensor::write_safetensors(&named, &request.out)
        .map_err(|error| Failure::file(&request.out, &error))
}

/// The checkpoint of a step of a run, or its newest good one.
///
/// # Errors
/// There is none, or it is damaged.
pub fn checkpoint(run: &Path, step: Option<u64>) -> Result<Checkpoint, Failure> {
    let folder = run.join("checkpoints");
    let refused = |message: String| {
        let failure = Failure::new(Exit::Wish, "pleach::worker::checkpoint", message);
        failure.help("`checkpoints/` in the run's folder has those that are complete")
    };
    if let Some(step) = step {
        let own = folder.join(checkpoint::folder_name(step));
        return Checkpoint::open(&own).map_err(|error| refused(error.to_string()));
    }
    let found = checkpoint::newest(&folder).map_err(|error| Failure::file(&folder, &error))?;
    found
        .checkpoint
        .ok_or_else(|| refused(format!("{}: no whole checkpoint", folder.display())))
}

/// Copies the weights of a checkpoint into what an interpreter holds.
///
/// # Errors
/// It is of another experiment, or has other parameters.
pub fn fill(plan: &Plan, good: &Checkpoint, interpreter: &Interpreter<'_>) -> Result<(), Failure> {
    good.check(plan).map_err(|error| {
        Failure::new(Exit::Wish, "pleach::worker::checkpoint", error.to_string())
    })?;
    Saver {
        plan,
        rank: 0,
        folder: PathBuf::new(),
    }
    .fill(good, interpreter.statics())
}

/// The logits of at most a micro-batch of texts: what the forward program gives to the cross-entropy.
///
/// # Errors
/// A plan whose forward has no logits, or what the device says.
pub fn batch(
    plan: &Plan,
    interpreter: &mut Interpreter<'_>,
    texts: &[Vec<i64>],
) -> Result<Tensor, Failure> {
    let length = plan.training.sequence as usize + 1;
    let mut samples = Given {
        sequences: texts.to_vec(),
        length,
    };
    let mut world = World {
        guard: Guard::new(None),
        samples: &mut samples,
        collectives: &mut Solo,
        trains: false,
    };
    let mut logits = None;
    interpreter.run(0, &mut world, &mut [], |_, instr, [ins, _]| {
        if matches!(instr.op, Op::CrossEntropyMax {}) {
            logits = ins.first().map(|logits| logits.copy());
        }
        Ok(logits.is_none())
    })?;
    interpreter.reset();
    logits.ok_or_else(|| {
        Failure::new(
            Exit::Wish,
            "pleach::worker::plan",
            "the plan has no logits: its forward ends elsewhere",
        )
    })
}

fn read_tokens(path: &Path, plan: &Plan) -> Result<Vec<Vec<i64>>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    let refused = |message: String| {
        Failure::new(
            Exit::Wish,
            "pleach::worker::tokens",
            format!("{}: {message}", path.display()),
        )
    };
    let texts: Vec<Vec<i64>> =
        serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
    let (longest, rows) = (plan.training.sequence as usize, plan.data.vocab as i64);
    for (number, text) in texts.iter().enumerate() {
        if text.len() > longest {
            return Err(refused(format!(
                "list {number} has {} ids, the plan has {longest} positions",
                text.len()
            )));
        }
        if let Some(id) = text.iter().find(|id| !(0..rows).contains(*id)) {
            return Err(refused(format!(
                "list {number} has the id {id}, the vocabulary has {rows} rows"
            )));
        }
    }
    Ok(texts)
}
