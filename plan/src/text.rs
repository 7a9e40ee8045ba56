//! A plan as text for readers: `pleach plan --emit program`, and what snapshots compare.
//!
//! In comes a plan, out come lines: the header, tensors with their layouts, bodies with an instruction on each line
//! (`y[2,4,8] = linear(x, weight)  frees x`), and each stage's slots in order. Operands stand as in [`crate::op`]:
//! inputs, then updates behind a semicolon. Equal plans give equal text; ids out of range are shown, not refused.

use std::fmt::Write;

use crate::{
    Body, BodyId, Group, GroupId, Instr, Layout, Lives, Op, Plan, Port, Role, Slot, Tensor,
    TensorId, Transfer, TransferKind,
};

/// The whole plan as text.
pub fn write(plan: &Plan) -> String {
    let mut text = Text {
        plan,
        out: String::new(),
    };
    text.header();
    text.tensors();
    text.parameters();
    plan.bodies.iter().for_each(|body| text.body(body));
    plan.roles.iter().for_each(|role| text.role(role));
    text.out
}

struct Text<'p> {
    plan: &'p Plan,
    out: String,
}

impl Text<'_> {
    fn line(&mut self, indent: usize, line: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{:indent$}{}", "", line.trim_end());
    }

    fn header(&mut self) {
        let (plan, mesh, training) = (self.plan, self.plan.mesh, &self.plan.training);
        self.line(
            0,
            &format!(
                "plan {}  engine {}  schema {}",
                plan.experiment, plan.engine, plan.schema
            ),
        );
        let [zero, sequence] = [plan.zero.to_string(), plan.sequence_parallel.to_string()];
        let recompute = lower(&plan.recompute);
        let blocks = mesh.shards.map(|shards| format!(" in blocks of {shards}"));
        let blocks = blocks.unwrap_or_default();
        self.line(0, &format!(
            "mesh dp {}{blocks} × pp {} × tp {}  zero {zero}  sequence parallel {sequence}  recompute {recompute}",
            mesh.dp, mesh.pp, mesh.tp
        ));
        let lanes = training.lanes.map(|lanes| format!(" in {lanes} lanes"));
        let lanes = lanes.unwrap_or_default();
        self.line(0, &format!(
            "batch {}{lanes} = micro-batch {} × micro-steps {} × dp {}  sequence {}  compute {}  accumulate {}",
            training.global_batch,
            training.micro_batch,
            training.micro_steps,
            mesh.dp,
            training.sequence,
            lower(&training.compute),
            lower(&training.accumulate),
        ));
        let dims: Vec<String> = plan
            .dims
            .iter()
            .map(|(name, size)| format!("{name} {size}"))
            .collect();
        self.line(0, &format!("dims {}", dims.join("  ")));
        let axes = |group: &Group| group.axes.iter().map(lower).collect::<Vec<_>>().join(" × ");
        let groups: Vec<String> = plan
            .groups
            .iter()
            .map(|group| {
                let ends = if group.ends { ", first and last" } else { "" };
                format!("{} ({}{ends})", group.name, axes(group))
            })
            .collect();
        self.line(0, &format!("groups {}", groups.join("  ")));
    }

    fn tensors(&mut self) {
        self.line(0, "");
        self.line(0, "tensors");
        for tensor in &self.plan.tensors {
            let lives = match tensor.lives {
                Lives::Kind(kind) => format!("layers of kind {kind}"),
                lives => lower(&lives),
            };
            let layout = format!(
                "dp {}  tp {}",
                layout(tensor.layout.dp),
                layout(tensor.layout.tp)
            );
            let place = tensor.view.map_or(String::new(), |view| {
                let end = u128::from(view.offset)
                    + tensor
                        .dims
                        .iter()
                        .map(|&size| u128::from(size))
                        .product::<u128>();
                format!("  = {}[{}..{end}]", self.name(view.base), view.offset)
            });
            self.line(
                2,
                &format!(
                    "{lives:8}{}  {}  {layout}{place}",
                    shaped(tensor),
                    lower(&tensor.dtype)
                ),
            );
        }
    }

    fn parameters(&mut self) {
        self.line(0, "");
        self.line(0, "parameters");
        for parameter in &self.plan.parameters {
            let shard = parameter
                .shard
                .map_or("whole".to_owned(), |dim| format!("dimension {dim} over tp"));
            let init = serde_json::to_value(parameter.init)
                .map_or(String::new(), |value| attributes(&value, "kind"));
            let kind = serde_json::to_value(parameter.init)
                .ok()
                .and_then(|value| value["kind"].as_str().map(str::to_owned));
            let line = format!(
                "{}{}  {shard}  {} {init}",
                parameter.name,
                list(&parameter.dims),
                kind.unwrap_or_default()
            );
            self.line(2, &line);
        }
        for bucket in &self.plan.buckets {
            let master = bucket
                .master
                .map_or(String::new(), |id| format!("  master {}", self.name(id)));
            let flats = [
                ("gradients", Some(bucket.gradients)),
                ("sums", bucket.sums),
                ("m", Some(bucket.m)),
                ("v", bucket.v),
            ];
            let flats: String = flats
                .iter()
                .filter_map(|&(what, id)| Some(format!("  {what} {}", self.name(id?))))
                .collect();
            let line = format!(
                "bucket {}: {} elements of {}{master}{flats}",
                bucket.name,
                bucket.length,
                self.name(bucket.weights)
            );
            self.line(2, &line);
        }
    }

    fn body(&mut self, body: &Body) {
        self.line(0, "");
        self.line(
            0,
            &format!(
                "body {}  ({} of {})",
                body.name,
                lower(&body.kind),
                body.block
            ),
        );
        let ports = |ports: &[Port]| {
            ports
                .iter()
                .map(|port| format!("{} = {}", lower(&port.wire), self.shaped(port.tensor)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let names = |ids: &[TensorId]| {
            ids.iter()
                .map(|&id| self.shaped(id))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let before = [("in", ports(&body.ins)), ("takes", names(&body.takes))];
        let after = [("out", ports(&body.outs)), ("saves", names(&body.saves))];
        let code: Vec<String> = body.code.iter().map(|instr| self.instr(instr)).collect();
        let show = |text: &mut Self, entries: [(&str, String); 2]| {
            for (what, entry) in entries.iter().filter(|(_, entry)| !entry.is_empty()) {
                text.line(2, &format!("{what} {entry}"));
            }
        };
        show(self, before);
        code.iter().for_each(|line| self.line(4, line));
        show(self, after);
    }

    fn instr(&self, instr: &Instr) -> String {
        let results = instr
            .outs
            .iter()
            .map(|&id| self.shaped(id))
            .collect::<Vec<_>>()
            .join(", ");
        let results = if results.is_empty() {
            results
        } else {
            format!("{results} = ")
        };
        let mut operands = self.names(&instr.ins);
        if !instr.updates.is_empty() {
            operands = format!("{operands}; {}", self.names(&instr.updates));
        }
        let frees = if instr.frees.is_empty() {
            String::new()
        } else {
            format!("  frees {}", self.names(&instr.frees))
        };
        let group = instr.op.group().map_or(String::new(), |group| {
            format!("  group {}", self.group(group))
        });
        let workspace = if instr.workspace == 0 {
            String::new()
        } else {
            format!("  workspace {}", instr.workspace)
        };
        format!(
            "{results}{}{}({}){frees}{group}{workspace}",
            instr.op.name(),
            settings(&instr.op),
            operands.trim_start()
        )
    }

    fn role(&mut self, role: &Role) {
        self.line(0, "");
        self.line(
            0,
            &format!("stage {}  layers {}", role.stage, ranges(&role.chunks)),
        );
        let held = self.names(&role.statics);
        self.line(2, &format!("holds {held}"));
        for (index, slot) in role.slots.iter().enumerate() {
            let line = match slot {
                Slot::Mark(mark) => format!("mark {}", lower(mark)),
                Slot::Wait(token) => format!("wait {token}"),
                Slot::Start(transfer) => self.transfer(transfer),
                Slot::Call(call) => {
                    let layers = call.layers.map_or(String::new(), |layers| {
                        format!("  layers {}", range(layers))
                    });
                    let chunk = if call.chunk == 0 {
                        String::new()
                    } else {
                        format!("  chunk {}", call.chunk)
                    };
                    format!(
                        "call {}{layers}{chunk}  micro-batch {}",
                        self.body_name(call.body),
                        call.micro_batch
                    )
                }
            };
            self.line(2, &format!("{index:>4}  {line}"));
        }
    }

    fn transfer(&self, transfer: &Transfer) -> String {
        let (verb, side) = match transfer.kind {
            TransferKind::Send => ("send", "to"),
            TransferKind::Receive => ("receive", "from"),
        };
        let (wire, micro_batch, peer) =
            (lower(&transfer.wire), transfer.micro_batch, transfer.peer);
        let shape = self.shaped(transfer.tensor);
        let chunk = match transfer.chunk {
            0 => String::new(),
            chunk => format!(", chunk {chunk},"),
        };
        format!(
            "start {}: {verb} {wire} of micro-batch {micro_batch}{chunk} {side} stage {peer} as {shape}",
            transfer.token
        )
    }

    fn tensor(&self, id: TensorId) -> Option<&Tensor> {
        self.plan.tensors.get(id.0 as usize)
    }

    fn name(&self, id: TensorId) -> String {
        self.tensor(id)
            .map_or_else(|| format!("?{}", id.0), |tensor| tensor.name.clone())
    }

    fn names(&self, ids: &[TensorId]) -> String {
        ids.iter()
            .map(|&id| self.name(id))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn shaped(&self, id: TensorId) -> String {
        self.tensor(id).map_or_else(|| format!("?{}", id.0), shaped)
    }

    fn group(&self, id: GroupId) -> String {
        self.plan
            .groups
            .get(id.0 as usize)
            .map_or_else(|| format!("?{}", id.0), |group| group.name.clone())
    }

    fn body_name(&self, id: BodyId) -> String {
        self.plan
            .bodies
            .get(id.0 as usize)
            .map_or_else(|| format!("?{}", id.0), |body| body.name.clone())
    }
}

/// `name[2,4,8]`.
fn shaped(tensor: &Tensor) -> String {
    format!("{}{}", tensor.name, list(&tensor.dims))
}

fn list(dims: &[u64]) -> String {
    format!(
        "[{}]",
        dims.iter()
            .map(u64::to_string)
            .collect::<Vec<_>>()
            .join(",")
    )
}

fn range([first, last]: [u32; 2]) -> String {
    format!("{first}..={last}")
}

fn ranges(chunks: &[[u32; 2]]) -> String {
    let all: Vec<String> = chunks.iter().copied().map(range).collect();
    all.join(", ")
}

fn layout(layout: Layout) -> String {
    match layout {
        Layout::Replicate => "whole".to_owned(),
        Layout::Shard(dim) => format!("shard {dim}"),
        Layout::Partial => "partial".to_owned(),
    }
}

/// The name of a plain variant as it stands in JSON.
fn lower<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// An operation's attributes, without its group: `{eps: 0.00001}`.
fn settings(op: &Op) -> String {
    serde_json::to_value(op).map_or(String::new(), |mut value| {
        if let Some(entries) = value.as_object_mut() {
            entries.remove("group");
        }
        attributes(&value, "op")
    })
}

fn attributes(value: &serde_json::Value, tag: &str) -> String {
    let entries = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| *name != tag);
    let entries: Vec<String> = entries
        .map(|(name, value)| match value.as_str() {
            Some(word) => format!("{name}: {word}"),
            None => format!("{name}: {value}"),
        })
        .collect();
    if entries.is_empty() {
        String::new()
    } else {
        format!("{{{}}}", entries.join(", "))
    }
}
