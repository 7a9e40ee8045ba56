//! A pipeline made by hand, for tests: each layer is one GELU, each stage runs 1F1B.

use std::collections::BTreeMap;

use pleach_dsl::experiment::Cluster;
use pleach_plan::*;

/// Tensors of the sample.
const X: TensorId = TensorId(0);
const Y: TensorId = TensorId(1);
const DY: TensorId = TensorId(2);
const DX: TensorId = TensorId(3);
const REPORT: TensorId = TensorId(4);

/// A cluster of one node with so many ranks of a device.
pub fn cluster(device: &str, ranks: u64) -> Cluster {
    Cluster::plain(device, 1, ranks)
}

fn tensor(id: TensorId, name: &str, dims: &[u64], lives: Lives) -> Tensor {
    let layout = Layouts {
        dp: Layout::Replicate,
        tp: Layout::Replicate,
    };
    Tensor {
        id,
        name: name.into(),
        dtype: Dtype::F32,
        dims: dims.to_vec(),
        layout,
        lives,
        view: None,
    }
}

fn instr(op: Op, ins: &[TensorId], outs: &[TensorId], frees: &[TensorId]) -> Instr {
    Instr {
        op,
        ins: ins.to_vec(),
        updates: vec![],
        outs: outs.to_vec(),
        frees: frees.to_vec(),
        workspace: 64,
    }
}

fn body(
    id: u32,
    name: &str,
    kind: BodyKind,
    ports: [Vec<Port>; 2],
    frame: [Vec<TensorId>; 2],
    code: Vec<Instr>,
) -> Body {
    let ([ins, outs], [saves, takes]) = (ports, frame);
    Body {
        id: BodyId(id),
        name: name.into(),
        kind,
        block: "layer".into(),
        ins,
        outs,
        saves,
        takes,
        code,
    }
}

fn tensors(elements: u64) -> Vec<Tensor> {
    vec![
        tensor(X, "x", &[elements], Lives::Local),
        tensor(Y, "y", &[elements], Lives::Local),
        tensor(DY, "dy", &[elements], Lives::Local),
        tensor(DX, "dx", &[elements], Lives::Local),
        tensor(REPORT, "report", &[2], Lives::Static),
    ]
}

fn bodies() -> Vec<Body> {
    let port = |wire, tensor| vec![Port { wire, tensor }];
    let gelu = vec![instr(Op::Gelu {}, &[X], &[Y], &[])];
    let back = vec![instr(Op::GeluBackward {}, &[DY, X], &[DX], &[DY, X])];
    let sum = instr(
        Op::AllReduce {
            group: GroupId(0),
            reduce: Reduce::Sum,
        },
        &[],
        &[],
        &[],
    );
    let step = Instr {
        updates: vec![REPORT],
        ..sum
    };
    let hidden = [port(Wire::Hidden, X), port(Wire::Hidden, Y)];
    let gradient = [port(Wire::Gradient, DY), port(Wire::Gradient, DX)];
    let none = [vec![], vec![]];
    vec![
        body(
            0,
            "forward",
            BodyKind::Forward,
            hidden,
            [vec![X], vec![]],
            gelu,
        ),
        body(
            1,
            "backward",
            BodyKind::Backward,
            gradient,
            [vec![], vec![X]],
            back,
        ),
        body(
            2,
            "step.reduce",
            BodyKind::Reduce,
            none,
            [vec![], vec![]],
            vec![step],
        ),
    ]
}

fn training(micro_steps: u32) -> Training {
    Training {
        scaling: None,
        not_finite: NotFinite::Halt,
        lanes: None,
        seed: 0,
        phase: None,
        begins: Begins::default(),
        steps: 1,
        global_batch: micro_steps.into(),
        micro_batch: 1,
        micro_steps,
        sequence: 1,
        schedule: Schedule::Constant {
            peak: 1.0,
            warmup: 0,
        },
        compute: Dtype::F32,
        accumulate: Dtype::F32,
        saving: Saving::at_the_end(1),
        logging: Logging::default(),
        evaluation: None,
        weights: None,
    }
}

/// A pipeline of `stages` with `layers` each and `micro_steps` micro-batches of `elements` activations.
pub fn pipeline(stages: u32, layers: u32, micro_steps: u32, elements: u64) -> Plan {
    let world = Group {
        id: GroupId(0),
        name: "world".into(),
        axes: vec![Axis::Dp, Axis::Pp, Axis::Tp],
        ends: false,
        part: None,
    };
    Plan {
        schema: json::SCHEMA,
        experiment: "sample".into(),
        hashes: Hashes::default(),
        engine: "pleach".into(),
        mesh: Mesh {
            dp: 1,
            cp: 1,
            pp: stages,
            tp: 1,
            shards: None,
        },
        zero: 0,
        sequence_parallel: false,
        recompute: Recompute::None,
        groups: vec![world],
        dims: BTreeMap::new(),
        tensors: tensors(elements),
        parameters: vec![],
        buckets: vec![],
        bodies: bodies(),
        roles: (0..stages)
            .map(|stage| role(stage, stages, layers, micro_steps))
            .collect(),
        report: REPORT,
        training: training(micro_steps),
        data: DataPlan {
            name: String::new(),
            source: String::new(),
            tokenizer: String::new(),
            vocab: 0,
            mix: vec![],
            reading: Reading::default(),
            ordering: Ordering::default(),
            order_seed: None,
            packing: Packing::default(),
            split: Vec::new(),
            order: None,
            unread: Vec::new(),
        },
        prediction: None,
        then: Vec::new(),
        kinds: Vec::new(),
    }
}

struct Slots {
    slots: Vec<Slot>,
    token: u32,
    stage: u32,
    stages: u32,
    layers: [u32; 2],
}

impl Slots {
    fn transfer(&mut self, kind: TransferKind, wire: Wire, micro_batch: u32) -> Option<u32> {
        let forward = (wire == Wire::Hidden) == (kind == TransferKind::Send);
        let peer = if forward {
            self.stage + 1
        } else {
            self.stage.checked_sub(1)?
        };
        if peer >= self.stages {
            return None;
        }
        let tensor = if wire == Wire::Hidden { Y } else { DX };
        self.token += 1;
        self.slots.push(Slot::Start(Transfer {
            token: self.token,
            kind,
            peer,
            wire,
            micro_batch,
            chunk: 0,
            tensor,
        }));
        Some(self.token)
    }

    fn pass(&mut self, body: u32, wire: Wire, micro_batch: u32) -> Option<u32> {
        if let Some(token) = self.transfer(TransferKind::Receive, wire, micro_batch) {
            self.slots.push(Slot::Wait(token));
        }
        self.slots.push(Slot::Call(Call {
            body: BodyId(body),
            layers: Some(self.layers),
            chunk: 0,
            micro_batch,
        }));
        self.transfer(TransferKind::Send, wire, micro_batch)
    }
}

fn role(stage: u32, stages: u32, layers: u32, micro_steps: u32) -> Role {
    let layers = [stage * layers, (stage + 1) * layers - 1];
    let mut slots = Slots {
        slots: vec![Slot::Mark(Mark::StepBegin)],
        token: 0,
        stage,
        stages,
        layers,
    };
    let ahead = (stages - 1 - stage).min(micro_steps);
    let mut sent: Vec<u32> = Vec::new();
    for micro_batch in 0..ahead {
        sent.extend(slots.pass(0, Wire::Hidden, micro_batch));
    }
    for micro_batch in 0..micro_steps {
        if micro_batch + ahead < micro_steps {
            sent.extend(slots.pass(0, Wire::Hidden, micro_batch + ahead));
        }
        sent.extend(slots.pass(1, Wire::Gradient, micro_batch));
    }
    slots.slots.extend(sent.into_iter().map(Slot::Wait));
    slots.slots.push(Slot::Mark(Mark::Optimizer));
    slots.slots.push(Slot::Call(Call {
        body: BodyId(2),
        layers: None,
        chunk: 0,
        micro_batch: 0,
    }));
    slots.slots.push(Slot::Mark(Mark::StepEnd));
    Role {
        stage,
        chunks: vec![layers],
        statics: vec![REPORT],
        slots: slots.slots,
    }
}
