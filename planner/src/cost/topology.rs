//! Where the members of a group sit: how many nodes a collective spans and who shares their network.

use std::collections::BTreeMap;

use pleach_plan::{Group, Mesh};

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
        let instances = instances(mesh, group);
        let mut leaving = vec![0u32; mesh.ranks().div_ceil(ranks_per_node) as usize];
        for members in &instances {
            let mut nodes: Vec<(u32, u32)> = Vec::new();
            for member in members {
                let node = member / ranks_per_node;
                match nodes.last_mut() {
                    Some((last, count)) if *last == node => *count += 1,
                    _ => nodes.push((node, 1)),
                }
            }
            geometry.nodes = geometry.nodes.max(nodes.len() as u32);
            geometry.per_node = geometry
                .per_node
                .max(nodes.iter().map(|&(_, count)| count).max().unwrap_or(1));
            if nodes.len() > 1 {
                nodes
                    .iter()
                    .for_each(|&(node, _)| leaving[node as usize] += 1);
            }
        }
        geometry.sharing = leaving.into_iter().max().unwrap_or(0);
        geometry
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
    use pleach_plan::{Axis, GroupId};

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
