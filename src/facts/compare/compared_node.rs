//! The node that is compared: what is known of it, and its disk to be asked. Answers are not kept here, they are given.

use crate::facts::node::node_facts::NodeFacts;
use crate::facts::node::node_files::Disk;
use crate::node::Session;

/// What the questions of a comparison go to.
pub(super) struct ComparedNode<'a> {
    pub(super) session: &'a Session,
    pub(super) facts: &'a NodeFacts,
    pub(super) disk: Disk<'a>,
}
