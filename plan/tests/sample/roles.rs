//! The slots of each stage of the sample: one forward, one backward, in turn.

use pleach_plan::*;

use super::Shape;
use super::builder::Builder;

impl Builder {
    pub fn call(&self, body: &str, micro_batch: u32, layers: [u32; 2]) -> Slot {
        let body = self
            .bodies
            .iter()
            .find(|known| known.name == body)
            .expect("a known body");
        let layers = (body.block == "layer").then_some(layers);
        Slot::Call(Call {
            body: body.id,
            layers,
            chunk: 0,
            micro_batch,
        })
    }

    pub fn role(&self, stage: u32) -> Role {
        let Shape { pp, layers, .. } = self.shape;
        let held = [stage * layers / pp, (stage + 1) * layers / pp - 1];
        let (first, last) = (stage == 0, stage == pp - 1);
        let blocks: Vec<&str> = [("embedding", first), ("layer", true), ("head", last)]
            .iter()
            .filter(|block| block.1)
            .map(|block| block.0)
            .collect();
        let statics = self.tensors.iter().filter(|tensor| {
            let block = tensor.name.split('.').next().unwrap_or_default();
            tensor.lives != Lives::Local
                && tensor.view.is_none()
                && (blocks.contains(&block) || ["report", "factor"].contains(&block))
        });
        let mut slots = vec![
            Slot::Mark(Mark::StepBegin),
            self.call("step.begin", 0, held),
        ];
        slots.extend(
            blocks
                .iter()
                .map(|block| self.call(&format!("{block}.begin"), 0, held)),
        );
        for micro_batch in 0..self.shape.micro_steps {
            self.one_micro_batch(stage, micro_batch, held, &mut slots);
        }
        slots.push(Slot::Mark(Mark::Optimizer));
        slots.extend(
            blocks
                .iter()
                .map(|block| self.call(&format!("{block}.reduce"), 0, held)),
        );
        slots.push(self.call("step.reduce", 0, held));
        slots.extend(
            blocks
                .iter()
                .map(|block| self.call(&format!("{block}.update"), 0, held)),
        );
        slots.push(Slot::Mark(Mark::StepEnd));
        Role {
            stage,
            chunks: vec![held],
            statics: statics.map(|tensor| tensor.id).collect(),
            slots,
        }
    }

    pub fn one_micro_batch(
        &self,
        stage: u32,
        micro_batch: u32,
        held: [u32; 2],
        slots: &mut Vec<Slot>,
    ) {
        let (first, last) = (stage == 0, stage == self.shape.pp - 1);
        let transfer = |kind: TransferKind, wire: Wire, peer: u32, tensor: &str| {
            let token = micro_batch * 4
                + u32::from(kind == TransferKind::Send) * 2
                + u32::from(wire == Wire::Gradient);
            let tensor = self.names[tensor];
            [
                Slot::Start(Transfer {
                    token,
                    kind,
                    peer,
                    wire,
                    micro_batch,
                    chunk: 0,
                    tensor,
                }),
                Slot::Wait(token),
            ]
        };
        if first {
            slots.push(self.call("embedding.forward", micro_batch, held));
        } else {
            slots.extend(transfer(
                TransferKind::Receive,
                Wire::Hidden,
                stage.wrapping_sub(1),
                "x",
            ));
        }
        slots.push(self.call("layer.forward", micro_batch, held));
        if last {
            slots.push(self.call("head.forward", micro_batch, held));
            slots.push(self.call("head.backward", micro_batch, held));
        } else {
            slots.extend(transfer(TransferKind::Send, Wire::Hidden, stage + 1, "y"));
            slots.extend(transfer(
                TransferKind::Receive,
                Wire::Gradient,
                stage + 1,
                "dy",
            ));
        }
        slots.push(self.call("layer.backward", micro_batch, held));
        if first {
            slots.push(self.call("embedding.backward", micro_batch, held));
        } else {
            slots.extend(transfer(
                TransferKind::Send,
                Wire::Gradient,
                stage - 1,
                "dx",
            ));
        }
    }
}
