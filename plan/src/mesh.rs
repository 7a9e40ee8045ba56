//! The mesh of ranks: its axes, the order in which ranks are numbered, and the groups that communicate.
//!
//! Ranks are numbered with `pp` outermost, then `dp`, then `tp` innermost (`rank = (pp * DP + dp) * TP + tp`), so that
//! the chattiest axis stays inside a node. A group is a set of axes, or of the replicas a part: those of one block or those at one place of
//! every block; who belongs to it is computed, never listed.

use serde::{Deserialize, Serialize};

/// One axis of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Data parallel: replicas that see different sequences.
    Dp,
    /// Pipeline parallel: consecutive stages of layers.
    Pp,
    /// Tensor parallel: shards of each matrix (and of the sequence between them).
    Tp,
}

/// The sizes of all axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mesh {
    /// Replicas.
    pub dp: u32,
    /// Context-parallel ranks; always 1 today, named so that plans keep their shape.
    pub cp: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Tensor-parallel ranks.
    pub tp: u32,
    /// Neighbouring replicas among which ZeRO divides; none where all of them do, else (hybrid sharding) each such block of them holds
    /// everything once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shards: Option<u32>,
}

/// A rank's place on the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rank {
    /// Coordinate on `dp`.
    pub dp: u32,
    /// Coordinate on `pp`: the stage.
    pub pp: u32,
    /// Coordinate on `tp`.
    pub tp: u32,
}

/// Names a [`Group`] in a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(pub u32);

/// Ranks that differ only in the coordinates on `axes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The group's name in instructions.
    pub id: GroupId,
    /// A readable name: `tp`, `dp`, `world`.
    pub name: String,
    /// The axes the members differ in, sorted.
    pub axes: Vec<Axis>,
    /// Whether of all stages only the first and the last belong to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends: bool,
    /// Which of the replicas belong to it, where not all do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

/// Part of the replicas of a mesh whose replicas stand in blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Those of one block: together they hold everything once.
    Within,
    /// Those at one place of every block: they hold the same.
    Across,
}

impl Group {
    /// Whether ranks of different stages belong to it.
    pub fn spans_stages(&self) -> bool {
        self.axes.contains(&Axis::Pp)
    }
}

impl Mesh {
    /// Number of ranks.
    pub fn ranks(&self) -> u32 {
        self.dp * self.cp * self.pp * self.tp
    }

    /// Number of ranks along one axis.
    pub fn size(&self, axis: Axis) -> u32 {
        match axis {
            Axis::Dp => self.dp,
            Axis::Pp => self.pp,
            Axis::Tp => self.tp,
        }
    }

    /// Replicas of a block: those among which ZeRO divides.
    pub fn block(&self) -> u32 {
        self.shards.unwrap_or(self.dp).max(1)
    }

    /// Blocks of replicas, each of which holds everything once.
    pub fn blocks(&self) -> u32 {
        self.dp / self.block()
    }

    /// In how many pieces a tensor lies that is cut along an axis.
    pub fn pieces(&self, axis: Axis) -> u32 {
        match axis {
            Axis::Dp => self.block(),
            other => self.size(other),
        }
    }

    /// Which of these pieces is a rank's.
    pub fn piece(&self, place: Rank, axis: Axis) -> u32 {
        place.on(axis) % self.pieces(axis).max(1)
    }

    /// The coordinates of a rank number.
    pub fn place(&self, rank: u32) -> Rank {
        Rank {
            dp: rank / self.tp % self.dp,
            pp: rank / (self.tp * self.dp),
            tp: rank % self.tp,
        }
    }

    /// The number of the rank at these coordinates.
    pub fn rank(&self, place: Rank) -> u32 {
        (place.pp * self.dp + place.dp) * self.tp + place.tp
    }

    /// Whether the ranks of a stage belong to a group.
    pub fn takes_part(&self, group: &Group, stage: u32) -> bool {
        !group.ends || stage == 0 || stage + 1 == self.pp
    }

    /// The ranks of `group` that `rank` belongs to, ascending; none where its stage does not take part.
    pub fn members(&self, group: &Group, rank: u32) -> Vec<u32> {
        let own = self.place(rank);
        if !self.takes_part(group, own.pp) {
            return Vec::new();
        }
        (0..self.ranks())
            .filter(|&other| self.takes_part(group, self.place(other).pp))
            .filter(|&other| self.instance(group, own) == self.instance(group, self.place(other)))
            .collect()
    }

    /// What the members of an instance of a group have in common: coordinates on pp, dp and tp, zero where they differ.
    pub fn instance(&self, group: &Group, place: Rank) -> [u32; 3] {
        let common = |axis| match (group.axes.contains(&axis), group.part) {
            (false, _) => place.on(axis),
            (true, Some(Part::Within)) if axis == Axis::Dp => place.dp / self.block(),
            (true, Some(Part::Across)) if axis == Axis::Dp => place.dp % self.block(),
            (true, _) => 0,
        };
        [Axis::Pp, Axis::Dp, Axis::Tp].map(common)
    }

    /// Number of members of a group.
    pub fn group_size(&self, group: &Group) -> u32 {
        let size = |axis: Axis| match axis {
            Axis::Pp if group.ends => self.pp.min(2),
            Axis::Dp => match group.part {
                Some(Part::Within) => self.block(),
                Some(Part::Across) => self.blocks(),
                None => self.dp,
            },
            axis => self.size(axis),
        };
        group.axes.iter().map(|&axis| size(axis)).product()
    }
}

impl Rank {
    /// The coordinate on one axis.
    pub fn on(&self, axis: Axis) -> u32 {
        match axis {
            Axis::Dp => self.dp,
            Axis::Pp => self.pp,
            Axis::Tp => self.tp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_parallel_ranks_are_neighbours() {
        let mesh = Mesh {
            dp: 3,
            cp: 1,
            pp: 2,
            tp: 4,
            shards: None,
        };
        let tp = Group {
            id: GroupId(0),
            name: "tp".into(),
            axes: vec![Axis::Tp],
            ends: false,
            part: None,
        };
        assert_eq!(mesh.members(&tp, 6), [4, 5, 6, 7]);
        for rank in 0..mesh.ranks() {
            assert_eq!(mesh.rank(mesh.place(rank)), rank);
        }
    }

    #[test]
    fn a_group_of_the_ends_leaves_the_middle_out() {
        let mesh = Mesh {
            dp: 2,
            cp: 1,
            pp: 3,
            tp: 2,
            shards: None,
        };
        let ends = Group {
            id: GroupId(0),
            name: "ends".into(),
            axes: vec![Axis::Pp],
            ends: true,
            part: None,
        };
        assert_eq!(mesh.group_size(&ends), 2);
        assert_eq!(mesh.members(&ends, 1), [1, 9]);
        assert_eq!(mesh.members(&ends, 9), [1, 9]);
        assert!(mesh.members(&ends, 5).is_empty());
    }

    #[test]
    fn blocks_of_replicas_hold_everything_once() {
        let mesh = Mesh {
            dp: 6,
            cp: 1,
            pp: 1,
            tp: 2,
            shards: Some(3),
        };
        let group = |part| Group {
            id: GroupId(0),
            name: "part".into(),
            axes: vec![Axis::Dp],
            ends: false,
            part: Some(part),
        };
        let (within, across) = (group(Part::Within), group(Part::Across));
        assert_eq!(mesh.members(&within, 9), [7, 9, 11]);
        assert_eq!(mesh.members(&across, 9), [3, 9]);
        assert_eq!([mesh.group_size(&within), mesh.group_size(&across)], [3, 2]);
        assert_eq!(mesh.piece(mesh.place(9), Axis::Dp), 1);
    }
}
