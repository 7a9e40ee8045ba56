//! Where the members of a group sit: how many nodes a collective spans and who shares their network.

use std::collections::BTreeMap;

use pleach_plan::{Axis, Group, Mesh, Part};

/// A group on the machines; all figures are those of its worst instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Members.
    pub size: u32,
    /// Nodes that an instance spans.
    pub nodes: u32,
    /// Most members of an instance on one node.
    pub per_node: u32,
    /// Most instances that leave one and the same node: they share its network.
    pub sharing: u32,
}

impl Geometry {
    /// Places a group on nodes of `ranks_per_node` consecutive ranks.
    pub fn of(mesh: &Mesh, group: &Group, ranks_per_node: u32) -> Self {
        let size = mesh.group_size(group);
        let mut geometry = Geometry {
            size,
            nodes: 1,
            per_node: size,
            sharing: 0,
        };
        if mesh.ranks() <= ranks_per_node {
            return geometry;
        }
        geometry.per_node = 1;
        match group.axes[..] {
            [Axis::Dp] => geometry.of_replicas(mesh, group, ranks_per_node),
            [Axis::Tp] => geometry.of_neighbours(mesh, ranks_per_node),
            _ if size == mesh.ranks() => Geometry {
                nodes: size.div_ceil(ranks_per_node),
                per_node: ranks_per_node,
                sharing: 1,
                ..geometry
            },
            _ => geometry.of_ranks(mesh, group, ranks_per_node),
        }
    }

    /// Any group, rank by rank.
    fn of_ranks(mut self, mesh: &Mesh, group: &Group, ranks_per_node: u32) -> Self {
        let mut leaving = vec![0u32; mesh.ranks().div_ceil(ranks_per_node) as usize];
        for members in instances(mesh, group) {
            self.seen(members.into_iter(), ranks_per_node, &mut leaving);
        }
        self.sharing = leaving.into_iter().max().unwrap_or(0);
        self
    }

    /// A group of replicas. Stages lie on their nodes as those before them do, once a stage and a node have ended together.
    fn of_replicas(mut self, mesh: &Mesh, group: &Group, ranks_per_node: u32) -> Self {
        let (width, block) = (mesh.dp * mesh.tp, mesh.block());
        let [instances, apart, stride] = match group.part {
            None => [1, 0, 1],
            Some(Part::Within) => [mesh.blocks(), block, 1],
            Some(Part::Across) => [block, 1, block],
        };
        let period = ranks_per_node / common(width, ranks_per_node);
        let stages = mesh.pp.min(period);
        let mut leaving = vec![0u32; (stages * width).div_ceil(ranks_per_node) as usize];
        for stage in 0..stages {
            for instance in 0..instances {
                for tp in 0..mesh.tp {
                    let first = stage * width + instance * apart * mesh.tp + tp;
                    let ranks = (0..self.size).map(|member| first + member * stride * mesh.tp);
                    self.seen(ranks, ranks_per_node, &mut leaving);
                }
            }
        }
        self.sharing = leaving.into_iter().max().unwrap_or(0);
        self
    }

    /// A group of neighbours. Groups lie as those before them do, once one of them and a node have ended together.
    fn of_neighbours(mut self, mesh: &Mesh, ranks_per_node: u32) -> Self {
        let period = ranks_per_node / common(self.size, ranks_per_node);
        let groups = (mesh.ranks() / self.size).min(period);
        let mut leaving = vec![0u32; (groups * self.size).div_ceil(ranks_per_node) as usize];
        for group in 0..groups {
            let ranks = group * self.size..(group + 1) * self.size;
            self.seen(ranks, ranks_per_node, &mut leaving);
        }
        self.sharing = leaving.into_iter().max().unwrap_or(0);
        self
    }

    /// Takes an instance in: its ranks, rising.
    fn seen(
        &mut self,
        ranks: impl Iterator<Item = u32> + Clone,
        ranks_per_node: u32,
        leaving: &mut [u32],
    ) {
        let (mut nodes, mut last, mut count) = (0, None, 0);
        for node in ranks.clone().map(|rank| rank / ranks_per_node) {
            if last != Some(node) {
                (nodes, last, count) = (nodes + 1, Some(node), 0);
            }
            count += 1;
            self.per_node = self.per_node.max(count);
        }
        self.nodes = self.nodes.max(nodes);
        if nodes > 1 {
            let mut left = None;
            for node in ranks.map(|rank| rank / ranks_per_node) {
                if left != Some(node) {
                    leaving[node as usize] += 1;
                    left = Some(node);
                }
            }
        }
    }
}

/// The greatest common divisor.
fn common(one: u32, other: u32) -> u32 {
    if other == 0 {
        one.max(1)
    } else {
        common(other, one % other)
    }
}

/// All instances of a group, each with its members ascending.
fn instances(mesh: &Mesh, group: &Group) -> Vec<Vec<u32>> {
    let mut instances: BTreeMap<[u32; 3], Vec<u32>> = BTreeMap::new();
    for rank in 0..mesh.ranks() {
        let place = mesh.place(rank);
        if !mesh.takes_part(group, place.pp) {
            continue;
        }
        let instance = mesh.instance(group, place);
        instances.entry(instance).or_default().push(rank);
    }
    instances.into_values().collect()
}

/// How many ranks of one node send over the network when stage `from` sends to stage `to`; zero where all stay inside.
pub fn crossing(mesh: &Mesh, from: u32, to: u32, ranks_per_node: u32) -> u32 {
    let width = mesh.dp * mesh.tp;
    let mut most = 0;
    let (mut node, mut count) = (0, 0);
    for index in 0..width {
        let (source, target) = (from * width + index, to * width + index);
        if source / ranks_per_node != node {
            (node, count) = (source / ranks_per_node, 0);
        }
        count += u32::from(source / ranks_per_node != target / ranks_per_node);
        most = most.max(count);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;
    use pleach_plan::GroupId;

    fn geometry(mesh: Mesh, axes: &[Axis]) -> Geometry {
        let group = Group {
            id: GroupId(0),
            name: "g".into(),
            axes: axes.to_vec(),
            ends: false,
            part: None,
        };
        Geometry::of(&mesh, &group, 8)
    }

    #[test]
    fn neox_on_twelve_nodes() {
        let mesh = Mesh {
            dp: 12,
            cp: 1,
            pp: 4,
            tp: 2,
            shards: None,
        };
        assert_eq!(
            geometry(mesh, &[Axis::Tp]),
            Geometry {
                size: 2,
                nodes: 1,
                per_node: 2,
                sharing: 0
            }
        );
        assert_eq!(
            geometry(mesh, &[Axis::Dp]),
            Geometry {
                size: 12,
                nodes: 3,
                per_node: 4,
                sharing: 2
            }
        );
        assert_eq!(geometry(mesh, &[Axis::Dp, Axis::Pp, Axis::Tp]).nodes, 12);
        assert_eq!(crossing(&mesh, 0, 1, 8), 8);
    }

    #[test]
    fn a_group_that_straddles_nodes_is_seen() {
        let mesh = Mesh {
            dp: 1,
            cp: 1,
            pp: 4,
            tp: 3,
            shards: None,
        };
        assert_eq!(
            geometry(mesh, &[Axis::Tp]),
            Geometry {
                size: 3,
                nodes: 2,
                per_node: 3,
                sharing: 1
            }
        );
        assert_eq!(crossing(&mesh, 0, 1, 8), 0);
        assert_eq!(crossing(&mesh, 1, 2, 8), 1);
        assert_eq!(crossing(&mesh, 2, 3, 8), 2);
    }

    #[test]
    fn groups_are_seen_as_rank_by_rank() {
        let shapes = [
            [1, 1, 8],
            [2, 1, 4],
            [2, 3, 8],
            [4, 2, 6],
            [8, 4, 3],
            [16, 2, 4],
            [1, 2, 12],
            [3, 5, 4],
            [1, 7, 6],
        ];
        let dp = vec![Axis::Dp];
        let parts = [
            (None, None, dp.clone()),
            (Some(2), Some(Part::Within), dp.clone()),
            (Some(2), Some(Part::Across), dp),
            (None, None, vec![Axis::Tp]),
            (None, None, vec![Axis::Dp, Axis::Pp, Axis::Tp]),
        ];
        for ranks_per_node in [1, 2, 4, 6, 8, 12] {
            for ([tp, pp, dp], (shards, part, axes)) in shapes
                .into_iter()
                .flat_map(|shape| parts.clone().map(|part| (shape, part)))
                .filter(|([_, _, dp], (shards, ..))| dp % shards.unwrap_or(1) == 0)
            {
                let mesh = Mesh {
                    dp,
                    cp: 1,
                    pp,
                    tp,
                    shards,
                };
                let group = Group {
                    id: GroupId(0),
                    name: "g".into(),
                    axes,
                    ends: false,
                    part,
                };
                let found = Geometry::of(&mesh, &group, ranks_per_node);
                if mesh.ranks() > ranks_per_node {
                    let start = Geometry {
                        size: mesh.group_size(&group),
                        nodes: 1,
                        per_node: 1,
                        sharing: 0,
                    };
                    let obvious = start.of_ranks(&mesh, &group, ranks_per_node);
                    assert_eq!(found, obvious, "{mesh:?} {part:?} {ranks_per_node}");
                }
            }
        }
    }

    #[test]
    fn all_on_one_node_share_nothing() {
        let mesh = Mesh {
            dp: 2,
            cp: 1,
            pp: 2,
            tp: 2,
            shards: None,
        };
        assert_eq!(
            geometry(mesh, &[Axis::Dp]),
            Geometry {
                size: 2,
                nodes: 1,
                per_node: 2,
                sharing: 0
            }
        );
    }
}
