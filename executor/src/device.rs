//! What a rank computes on: the CPU, or the GPU of its place on its machine.
//!
//! In come a plan, which says for what it was made, and the environment; out comes a device that works, or the one sentence
//! about what is missing. Values go there from page-locked memory, so that the host does not wait for them.

use pleach_plan::Plan;
use pleach_plan::hardware::Kind;
use tch::{Device, Tensor};

use crate::environment::Environment;
use crate::error::{Exit, Failure};
use crate::native::{Result, cuda, memory};
use crate::process::resident;

/// The variable that says what to compute on, whatever the plan was made for: `cpu` or `cuda`.
pub const VARIABLE: &str = "PLEACH_DEVICE";
/// The variable that asks for the same bits in every repetition on a GPU.
pub const FIXED: &str = "PLEACH_DETERMINISTIC";
/// The code of a device that is not there.
const CODE: &str = "pleach::worker::device";

/// The device of a rank of a plan.
///
/// # Errors
/// A GPU is wanted and something is missing, or it has less room than the plan needs.
pub fn choose(plan: &Plan, environment: &Environment) -> std::result::Result<Device, Failure> {
    let planned = plan.prediction.as_ref().map(|own| own.device);
    let wanted = named()?.unwrap_or(planned.unwrap_or(Kind::Cpu));
    if wanted == Kind::Cpu {
        return Ok(Device::Cpu);
    }
    if plan.training.lanes.is_some() {
        let message = "the plan sums gradients in one order (`train.sums = reproducible`), which no kernel of a GPU does yet";
        return Err(Failure::new(Exit::Wish, CODE, message)
            .help("`--set train.sums=fast` plans for the GPU; PLEACH_DEVICE=cpu runs this plan on the CPU"));
    }
    let device = begin(environment.local_rank)?;
    room(plan, environment, device)?;
    Ok(Device::Cuda(device as usize))
}

/// The device of what needs no rank: the CPU, unless the environment asks for the GPU.
///
/// # Errors
/// As [`choose`].
pub fn asked() -> std::result::Result<Device, Failure> {
    match named()? {
        Some(Kind::Gpu) => begin(0).map(|device| Device::Cuda(device as usize)),
        _ => Ok(Device::Cpu),
    }
}

/// The GPUs of this machine in a line: how many, with their memory, or what is missing.
pub fn found() -> String {
    if let Err(missing) = cuda::begin(0) {
        return format!("none: {missing}");
    }
    let count = cuda::count().unwrap_or(0);
    let memory = |index| cuda::memory(index).map_or(0, |found| found.total >> 30);
    let each: Vec<String> = (0..count)
        .map(|index| format!("{} GiB", memory(index)))
        .collect();
    format!("{count}: {}", each.join(", "))
}

fn named() -> std::result::Result<Option<Kind>, Failure> {
    kind_of(std::env::var(VARIABLE).ok().as_deref())
}

fn kind_of(value: Option<&str>) -> std::result::Result<Option<Kind>, Failure> {
    match value {
        None | Some("") => Ok(None),
        Some("cpu") => Ok(Some(Kind::Cpu)),
        Some("cuda") => Ok(Some(Kind::Gpu)),
        Some(other) => {
            let message = format!("{VARIABLE} is `{other}`; it is `cpu` or `cuda`");
            Err(
                Failure::new(Exit::Wish, "pleach::worker::environment", message)
                    .help("without it a rank computes on what its plan was made for"),
            )
        }
    }
}

/// The GPU of a rank's place on its machine, made this process's.
///
/// # Errors
/// What is missing.
pub fn gpu(local_rank: u32) -> std::result::Result<u32, Failure> {
    let begun = cuda::begin(local_rank);
    let device = begun.map_err(|missing| lacking(&missing, "a GPU is to be measured", ""))?;
    fixed(device)
}

/// The GPU that a plan or the environment asks for.
fn begin(local_rank: u32) -> std::result::Result<u32, Failure> {
    let way_out = "; PLEACH_DEVICE=cpu computes without it";
    let begun = cuda::begin(local_rank);
    let device = begun.map_err(|missing| lacking(&missing, "the plan is for a GPU", way_out))?;
    fixed(device)
}

/// The device, with its order of additions fixed where the environment asks for that.
fn fixed(device: u32) -> std::result::Result<u32, Failure> {
    if std::env::var_os(FIXED).is_some_and(|value| value == "1") {
        cuda::fix_order().map_err(|error| broken(&error))?;
    }
    Ok(device)
}

fn lacking(missing: &cuda::Missing, asked: &str, way_out: &str) -> Failure {
    let help = match missing {
        cuda::Missing::Library(_) | cuda::Missing::Unopened { .. } => {
            "put the `torch/lib` of a PyTorch 2.11 with CUDA first in LD_LIBRARY_PATH"
        }
        cuda::Missing::NoDevice(_) | cuda::Missing::Broken { .. } => {
            "`nvidia-smi` must show the device; CUDA_VISIBLE_DEVICES may hide it"
        }
        cuda::Missing::TooFew { .. } => {
            "start no more ranks on a machine than it has devices, or plan for more machines"
        }
    };
    let message = format!("{asked}, and {missing}");
    Failure::new(Exit::Machine, CODE, message).help(format!("{help}{way_out}"))
}

fn broken(error: &tch::TchError) -> Failure {
    let text = crate::native::essence(&error.to_string());
    Failure::new(
        Exit::Machine,
        CODE,
        format!("the device does not answer: {text}"),
    )
    .help("`nvidia-smi` must show it in good health")
}

/// Holds the room that a device has against the most that the plan needs at once.
fn room(plan: &Plan, environment: &Environment, device: u32) -> std::result::Result<(), Failure> {
    let stage = plan.mesh.place(environment.rank).pp as usize;
    let roles = plan.prediction.as_ref().map(|own| &own.roles);
    let Some(role) = roles.and_then(|roles| roles.get(stage)) else {
        return Ok(());
    };
    let found = cuda::memory(device).map_err(|error| broken(&error))?;
    too_little(role.allocated_peak, &found, device).map_or(Ok(()), Err)
}

fn too_little(needed: u64, found: &cuda::Memory, device: u32) -> Option<Failure> {
    const MIB: u64 = 1 << 20;
    if found.free >= needed {
        return None;
    }
    let message = format!(
        "device {device} has {} MiB free of {}, and this rank's tensors need {} MiB: {} MiB are missing",
        found.free / MIB,
        found.total / MIB,
        needed.div_ceil(MIB),
        (needed - found.free).div_ceil(MIB)
    );
    Some(Failure::new(Exit::Machine, CODE, message).help(
        "end what else is on the device (`nvidia-smi` shows it), or plan with less `cluster.memory`, smaller micro-batches or recomputation",
    ))
}

/// The same values on a device. The host does not wait: they go from page-locked memory, which is kept until they are there.
///
/// # Errors
/// No memory.
pub fn upload(values: &Tensor, device: Device) -> Result<Tensor> {
    if device == values.device() {
        return Ok(values.shallow_clone());
    }
    values
        .f_pin_memory(device)?
        .f_to_device_(device, values.kind(), true, false)
}

/// The most bytes that this process took: of its device, or of the machine.
pub fn held() -> u64 {
    match cuda::current() {
        Some(_) => peaks()[1],
        None => resident().peak,
    }
}

/// The most bytes that tensors of this process had at once, and the most that its allocator took for them.
pub fn peaks() -> [u64; 2] {
    match cuda::current().map(cuda::memory) {
        Some(Ok(found)) => [found.peak, found.reserved],
        _ => [memory::peak(), memory::extent()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_says_one_of_two_words() {
        assert_eq!(kind_of(None).unwrap(), None);
        assert_eq!(kind_of(Some("cuda")).unwrap(), Some(Kind::Gpu));
        assert_eq!(kind_of(Some("cpu")).unwrap(), Some(Kind::Cpu));
        let refused = kind_of(Some("gpu")).unwrap_err();
        assert!(refused.message.contains("`gpu`"), "{refused}");
    }

    #[test]
    fn too_little_room_is_said_with_its_arithmetic() {
        let found = cuda::Memory {
            free: 10 << 20,
            total: 16 << 20,
            ..cuda::Memory::default()
        };
        assert!(too_little(10 << 20, &found, 0).is_none());
        let message = too_little((12 << 20) + 1, &found, 3).unwrap().to_string();
        for part in [
            "device 3",
            "10 MiB free of 16",
            "need 13 MiB",
            "3 MiB are missing",
            "help",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn what_is_there_already_is_not_copied() {
        let values = Tensor::from_slice(&[1.0, 2.0]);
        let same = upload(&values, Device::Cpu).unwrap();
        assert_eq!(same.data_ptr(), values.data_ptr());
    }
}
